//! TFRecords: length (u64), masked CRC-32C of it, payload, masked CRC-32C of that; all little-endian.

/// A payload as a record.
pub(super) fn frame(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(payload.len() + 16);
    record.extend(length);
    record.extend(masked(crc32c(&length)).to_le_bytes());
    record.extend(payload);
    record.extend(masked(crc32c(payload)).to_le_bytes());
    record
}

/// The payloads of a file, up to the first record that is cut off or damaged.
pub(super) fn payloads(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let size = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let payload = rest.get(..size)?;
        let (payload_crc, rest) = rest[size..].split_first_chunk::<4>()?;
        bytes = rest;
        let sound = masked(crc32c(length)).to_le_bytes() == *crc
            && masked(crc32c(payload)).to_le_bytes() == *payload_crc;
        sound.then_some(payload)
    })
}

/// The mask that keeps a checksum of checksums from being trivial.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), reflected polynomial 0x82F63B78.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| (crc >> 8) ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize];
    !bytes.iter().fold(!0, step)
}

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let (mut crc, mut bit) = (i as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the catalogue of parametrised CRCs, and the vectors of RFC 3720, appendix B.4.
    #[test]
    fn the_checksum_gives_the_published_answers() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn records_come_back_up_to_the_one_that_is_damaged() {
        let file = [frame(b"one"), frame(b""), frame(b"three")].concat();
        assert_eq!(payloads(&file).collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        assert_eq!(payloads(&file[..file.len() - 1]).count(), 2);
        let mut damaged = file.clone();
        damaged[12] ^= 1;
        assert_eq!(payloads(&damaged).count(), 0);
    }
}
