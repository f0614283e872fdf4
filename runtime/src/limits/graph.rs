//! A graph of one matrix product, as the bytes of an ONNX file.

use super::Precision;

/// `y = x · w` over square matrices, `w` a weight of the graph, as a network's own products are.
///
/// Single precision: `MatMul`. Half: the same. Int8: `MatMulInteger` of unsigned by signed bytes.
pub(super) fn product(precision: Precision, size: usize) -> Vec<u8> {
    // Numbers of onnx.proto's TensorProto.DataType: float 1, uint8 2, int8 3, int32 6, float16 10.
    let (operator, x, w, y) = match precision {
        Precision::Float32 => ("MatMul", 1, 1, 1),
        Precision::Float16 => ("MatMul", 10, 10, 10),
        Precision::Int8 => ("MatMulInteger", 2, 3, 6),
    };
    let values: Vec<u8> = match precision {
        Precision::Float32 => (0..size * size).flat_map(|i| (value(i) as f32).to_le_bytes()).collect(),
        Precision::Float16 => (0..size * size).flat_map(|i| half(value(i)).to_le_bytes()).collect(),
        Precision::Int8 => (0..size * size).map(|i| (value(i) * 100.0) as i8 as u8).collect(),
    };
    let size = size as u64;
    let dimension = message(1, &number(1, size)); // dim { dim_value }
    let tensor =
        |kind: u64| [number(1, kind), message(2, &[dimension.clone(), dimension.clone()].concat())].concat();
    let port = |name: &str, kind: u64| [text(1, name), message(2, &message(1, &tensor(kind)))].concat(); // type { tensor_type }
    let node = [text(1, "x"), text(1, "w"), text(2, "y"), text(4, operator)].concat();
    let weight = [number(1, size), number(1, size), number(2, w), text(8, "w"), message(9, &values)].concat();
    let graph = [
        message(1, &node),
        text(2, "product"),
        message(5, &weight),
        message(11, &port("x", x)),
        message(12, &port("y", y)),
    ];
    let opset = number(2, 20);
    [number(1, 8), message(7, &graph.concat()), message(8, &opset)].concat() // ir_version, graph, opset_import
}

/// Something between −0.5 and 0.5 that differs from one place to the next.
pub(super) fn value(place: usize) -> f64 {
    (place.wrapping_mul(2_654_435_761) >> 8 & 0xff) as f64 / 255.0 - 0.5
}

/// The bits of a half precision number, of what has magnitude from 2⁻¹⁴ to 1; smaller values become zero.
pub(super) fn half(value: f64) -> u16 {
    let bits = (value as f32).to_bits();
    let (sign, exponent) = ((bits >> 16) as u16 & 0x8000, (bits >> 23 & 0xff) as i32 - 112);
    if exponent <= 0 { sign } else { sign | (exponent as u16) << 10 | (bits >> 13) as u16 & 0x3ff }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number(tag: u8, value: u64) -> Vec<u8> {
    [vec![tag << 3], varint(value)].concat()
}

fn message(tag: u8, content: &[u8]) -> Vec<u8> {
    [vec![tag << 3 | 2], varint(content.len() as u64), content.to_vec()].concat()
}

fn text(tag: u8, content: &str) -> Vec<u8> {
    message(tag, content.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_towards_zero() {
        assert_eq!([half(0.5), half(-0.25), half(0.0), half(1.0)], [0x3800, 0xb400, 0, 0x3c00]);
        assert_eq!(half(1e-6), 0);
    }

    #[test]
    fn numbers_of_any_size_are_written_in_groups_of_seven_bits() {
        assert_eq!(varint(1), [1]);
        assert_eq!(varint(300), [0xac, 2]);
        assert_eq!(varint(2048), [0x80, 0x10]);
    }
}
