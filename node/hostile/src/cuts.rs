//! Ways in which bytes may come in.

/// Inputs longer than this are not given byte by byte: that would say nothing new.
const SINGLE_BYTES_MAX: usize = 4096;

/// The same bytes in chunks, in several ways: whole, one by one, and twice by lengths that depend
/// on nothing but the bytes, so that an input always does the same.
pub(crate) fn ways(bytes: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut ways = vec![vec![bytes]];
    if bytes.len() <= SINGLE_BYTES_MAX {
        ways.push(bytes.chunks(1).collect());
    }
    let seed = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    ways.push(random(bytes, seed | 1, 16));
    ways.push(random(bytes, seed.rotate_left(32) | 1, 256));
    ways
}

/// Chunks of 1 to `len_max` bytes, by xorshift.
fn random(bytes: &[u8], mut state: u64, len_max: usize) -> Vec<&[u8]> {
    let mut chunks = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let len = 1 + usize::try_from(state % len_max as u64).expect("it is small");
        let (chunk, after) = rest.split_at(len.min(rest.len()));
        chunks.push(chunk);
        rest = after;
    }
    chunks
}
