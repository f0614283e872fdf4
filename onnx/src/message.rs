//! A model as the bytes of its message, tensor by tensor: encoding it whole would take its weights a second time.

use crate::error::Result;
use crate::proto::{GraphProto, ModelProto, TensorProto};
use prost::Message as _;
use prost::encoding::{encode_varint, encoded_len_varint};

/// The key of `ModelProto.graph`: field 7, length-delimited.
const GRAPH: u8 = 7 << 3 | 2;
/// The key of `GraphProto.initializer`: field 5, length-delimited.
const INITIALIZER: u8 = 5 << 3 | 2;

/// A model's message in three parts that follow each other in its file.
pub(crate) struct Message {
    /// All but the graph.
    model: ModelProto,
    /// All but the initializers.
    graph: GraphProto,
    initializers: Vec<TensorProto>,
}

impl Message {
    pub(crate) fn split(mut model: ModelProto) -> Self {
        let mut graph = model.graph.take().unwrap_or_default();
        let initializers = std::mem::take(&mut graph.initializer);
        Self { model, graph, initializers }
    }

    /// Bytes of the graph.
    fn graph_len(&self) -> u64 {
        let field = |tensor: &TensorProto| {
            let len = tensor.encoded_len() as u64;
            1 + encoded_len_varint(len) as u64 + len
        };
        self.graph.encoded_len() as u64 + self.initializers.iter().map(field).sum::<u64>()
    }

    /// Bytes of it all.
    pub(crate) fn len(&self) -> u64 {
        let graph = self.graph_len();
        self.model.encoded_len() as u64 + 1 + encoded_len_varint(graph) as u64 + graph
    }

    /// Hands on its bytes in order.
    pub(crate) fn write(&self, write: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let key = |key: u8, len: u64| {
            let mut bytes = vec![key];
            encode_varint(len, &mut bytes);
            bytes
        };
        write(&self.model.encode_to_vec())?;
        write(&key(GRAPH, self.graph_len()))?;
        write(&self.graph.encode_to_vec())?;
        for tensor in &self.initializers {
            write(&key(INITIALIZER, tensor.encoded_len() as u64))?;
            write(&tensor.encode_to_vec())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor;

    #[test]
    fn the_parts_together_are_the_message() {
        let initializer =
            vec![tensor::f32s("a", &[300], &[0.5; 300]).unwrap(), tensor::i64s("b", &[-1]).unwrap()];
        let graph = Some(GraphProto { name: Some("g".into()), initializer, ..Default::default() });
        let whole = ModelProto { ir_version: Some(8), graph, ..Default::default() };
        let (message, mut bytes) = (Message::split(whole.clone()), Vec::new());
        message
            .write(&mut |part| {
                bytes.extend_from_slice(part);
                Ok(())
            })
            .unwrap();
        assert_eq!(message.len(), bytes.len() as u64);
        assert_eq!(ModelProto::decode(bytes.as_slice()).unwrap(), whole);
    }
}
