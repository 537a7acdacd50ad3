//! The PROXY protocol, versions 1 and 2: a proxy before us says from where its client came.
//!
//! ```text
//!   PROXY TCP4 192.0.2.7 198.51.100.1 50312 143\r\n          version 1, at most 107 bytes
//!   \r\n\r\n\0\r\nQUIT\n 21 11 000C <addresses, ports> ..     version 2, binary, TLVs at its end
//! ```
//!
//! The header comes before all else, also before a TLS handshake. It is expected from configured
//! networks and from nobody else: there a connection without a whole and correct one is closed,
//! since its address would be a lie either way. [`parse`] is pure: it says how many more bytes it
//! needs, so that no byte behind the header is read.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

use super::limits::PROXY_HEADER_BYTES;

/// How version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// How version 1 begins.
const PROXY: &[u8] = b"PROXY ";

/// Bytes of the longest header of version 1, its line end included.
const LINE_BYTES_MAX: usize = 107;

/// The bytes by which the versions are told apart: no header is shorter.
const FIRST_BYTES: usize = 12;

/// How far a header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// So many bytes must come, at least; all of them belong to the header.
    Needs(usize),
    /// The header is whole, and the client came from there; or the proxy speaks for itself, or
    /// does not know: then its own address counts.
    Whole(Option<SocketAddr>),
    /// This is no header.
    Bad,
}

/// Looks at the beginning of a connection.
#[must_use]
pub fn parse(bytes: &[u8]) -> Header {
    if bytes.len() < FIRST_BYTES {
        return Header::Needs(FIRST_BYTES - bytes.len());
    }
    if bytes.starts_with(SIGNATURE) {
        return version_2(&bytes[FIRST_BYTES..]);
    }
    if bytes.starts_with(PROXY) {
        return version_1(bytes);
    }
    Header::Bad
}

fn version_1(bytes: &[u8]) -> Header {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() < LINE_BYTES_MAX {
            true => Header::Needs(1),
            false => Header::Bad,
        };
    };
    let line = &bytes[..=end];
    let text = line.strip_suffix(b"\r\n").map(std::str::from_utf8);
    let (Some(Ok(text)), true) = (text, end + 1 == bytes.len()) else {
        return Header::Bad;
    };
    let words: Vec<&str> = text.split(' ').collect();
    let source = match words[..] {
        ["PROXY", "UNKNOWN", ..] => return Header::Whole(None),
        ["PROXY", family, source, target, source_port, target_port] => {
            let fits = |address: &str| match (family, address.parse().ok()?) {
                ("TCP4", address @ IpAddr::V4(_)) | ("TCP6", address @ IpAddr::V6(_)) => {
                    Some(address)
                }
                _ => None,
            };
            let is_told = fits(target).is_some() && port(target_port).is_some();
            let source = fits(source).zip(port(source_port));
            source.filter(|_| is_told)
        }
        _ => None,
    };
    source.map_or(Header::Bad, |source| {
        Header::Whole(Some(SocketAddr::from(source)))
    })
}

/// A port without a sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let number: u16 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn version_2(bytes: &[u8]) -> Header {
    let Some((&[command, family, high, low], rest)) = bytes.split_first_chunk() else {
        return Header::Needs(4 - bytes.len());
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > PROXY_HEADER_BYTES || rest.len() > length {
        return Header::Bad;
    }
    if rest.len() < length {
        return Header::Needs(length - rest.len());
    }
    match (command, family) {
        // LOCAL: a health check.
        (0x20, _) => Header::Whole(None),
        // PROXY, of a family that has no address of the internet.
        (0x21, 0x00 | 0x31 | 0x32) => Header::Whole(None),
        (0x21, 0x11) => match rest.split_first_chunk::<12>() {
            Some((&[a, b, c, d, _, _, _, _, high, low, ..], _)) => {
                let address = Ipv4Addr::new(a, b, c, d);
                whole(address.into(), [high, low])
            }
            _ => Header::Bad,
        },
        (0x21, 0x21) => match rest.split_first_chunk::<36>() {
            Some((addresses, _)) => {
                let mut address = [0; 16];
                address.copy_from_slice(&addresses[..16]);
                whole(
                    Ipv6Addr::from(address).into(),
                    [addresses[32], addresses[33]],
                )
            }
            None => Header::Bad,
        },
        // Datagrams and what is not defined.
        _ => Header::Bad,
    }
}

fn whole(address: IpAddr, port: [u8; 2]) -> Header {
    Header::Whole(Some(SocketAddr::new(address, u16::from_be_bytes(port))))
}

/// Reads a header and nothing behind it: from where the client came, if the proxy says so.
///
/// # Errors
///
/// Those of the connection, and `InvalidData` if there is no correct header.
pub async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<SocketAddr>> {
    let mut header = Vec::with_capacity(LINE_BYTES_MAX);
    loop {
        match parse(&header) {
            Header::Whole(source) => return Ok(source),
            Header::Bad => return Err(io::ErrorKind::InvalidData.into()),
            Header::Needs(bytes) => {
                let at = header.len();
                header.resize(at + bytes, 0);
                stream.read_exact(&mut header[at..]).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(text: &str) -> Header {
        Header::Whole(Some(text.parse().unwrap()))
    }

    /// A header of version 2.
    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [SIGNATURE, &[command, family][..], &length, rest].concat()
    }

    /// What [`read`] does, on bytes; and how many it took.
    fn driven(bytes: &[u8]) -> (Header, usize) {
        let mut taken = 0;
        loop {
            match parse(&bytes[..taken]) {
                Header::Needs(more) if taken + more <= bytes.len() => taken += more,
                header => return (header, taken),
            }
        }
    }

    #[test]
    fn lines() {
        let cases = [
            (
                "TCP4 192.0.2.7 198.51.100.1 50312 143",
                Some("192.0.2.7:50312"),
            ),
            (
                "TCP6 2001:db8::7 2001:db8::1 1 993",
                Some("[2001:db8::7]:1"),
            ),
            ("UNKNOWN", None),
            ("UNKNOWN ffff::1 ffff::2 1 2", None),
        ];
        for (line, expected) in cases {
            let line = format!("PROXY {line}\r\n");
            let behind = format!("{line}a1 NOOP\r\n");
            let expected = expected.map_or(Header::Whole(None), source);
            assert_eq!(driven(behind.as_bytes()), (expected, line.len()), "{line}");
        }
    }

    #[test]
    fn lines_that_are_wrong() {
        for line in [
            "PROXY TCP4 192.0.2.7 198.51.100.1 50312 143\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 50312\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 50312 143 7\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 65536 143\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 +1 143\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 01 143\r\n",
            "PROXY TCP4 192.0.2.07 198.51.100.1 1 143\r\n",
            "PROXY TCP4 2001:db8::7 2001:db8::1 1 993\r\n",
            "PROXY TCP6 192.0.2.7 198.51.100.1 1 143\r\n",
            "PROXY TCP4 192.0.2.7 example.org 1 143\r\n",
            "PROXY  TCP4 192.0.2.7 198.51.100.1 1 143\r\n",
            "PROXY UDP4 192.0.2.7 198.51.100.1 1 143\r\n",
            "PROXY tcp4 192.0.2.7 198.51.100.1 1 143\r\n",
            "PROXY \r\nxxxxxxxx",
            "proxy UNKNOWN\r\n",
            "a1 LOGIN alice secret\r\n",
            "EHLO client.example\r\n",
            "\u{16}\u{3}\u{1}............",
        ] {
            assert_eq!(driven(line.as_bytes()).0, Header::Bad, "{line:?}");
        }
        let long = format!("PROXY UNKNOWN {}", "x".repeat(200));
        assert_eq!(driven(long.as_bytes()), (Header::Bad, LINE_BYTES_MAX));
    }

    #[test]
    fn binary_headers() {
        let four = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x34, 0, 143];
        let six: Vec<u8> = [
            &Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7).octets()[..],
            &Ipv6Addr::LOCALHOST.octets(),
            &[0, 1, 3, 0xe1],
        ]
        .concat();
        let with_tlv = [&four[..], &[3, 0, 4, 1, 2, 3, 4]].concat();
        for (bytes, expected) in [
            (binary(0x21, 0x11, &four), source("192.0.2.7:4660")),
            (binary(0x21, 0x11, &with_tlv), source("192.0.2.7:4660")),
            (binary(0x21, 0x21, &six), source("[2001:db8::7]:1")),
            (binary(0x20, 0x00, &[]), Header::Whole(None)),
            (binary(0x20, 0x11, &four), Header::Whole(None)),
            (binary(0x21, 0x00, &[]), Header::Whole(None)),
            (binary(0x21, 0x31, &[0; 216]), Header::Whole(None)),
            (binary(0x21, 0x11, &four[..11]), Header::Bad),
            (binary(0x21, 0x21, &four), Header::Bad),
            (binary(0x21, 0x12, &four), Header::Bad),
            (binary(0x22, 0x11, &four), Header::Bad),
            (binary(0x11, 0x11, &four), Header::Bad),
            (
                binary(0x21, 0x11, &vec![0; PROXY_HEADER_BYTES + 1]),
                Header::Bad,
            ),
        ] {
            let behind = [&bytes[..], b"a1 NOOP\r\n"].concat();
            let (header, taken) = driven(&behind);
            assert_eq!(header, expected, "{bytes:?}");
            if header != Header::Bad {
                assert_eq!(taken, bytes.len(), "{bytes:?}");
            }
        }
    }

    #[tokio::test]
    async fn nothing_behind_is_read() {
        let mut stream: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 1 143\r\na1 NOOP\r\n";
        let from = read(&mut stream).await.unwrap();
        assert_eq!(from, Some("192.0.2.7:1".parse().unwrap()));
        assert_eq!(stream, b"a1 NOOP\r\n");
        let mut cut: &[u8] = b"PROXY TCP4 192.0";
        let error = read(&mut cut).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    /// Noise that often begins as a header does.
    fn noise() -> impl Strategy<Value = Vec<u8>> {
        let head = prop_oneof![
            Just(Vec::new()),
            Just(PROXY.to_vec()),
            Just(b"PROXY TCP4 1.2.3.4 ".to_vec()),
            Just(SIGNATURE.to_vec()),
            Just([&SIGNATURE[..], &[0x21, 0x11, 0]].concat()),
        ];
        let tail = prop::collection::vec(
            prop_oneof![any::<u8>(), Just(b' '), Just(b'\r'), Just(b'\n')],
            0..300,
        );
        (head, tail).prop_map(|(head, tail)| [head, tail].concat())
    }

    proptest! {
        /// It never asks for more than a header can have, ends, and what it says of a header does
        /// not depend on what comes behind.
        #[test]
        fn any_bytes(bytes in noise()) {
            let (header, taken) = driven(&bytes);
            prop_assert!(taken <= FIRST_BYTES + 4 + PROXY_HEADER_BYTES);
            if let Header::Needs(more) = header {
                prop_assert!(more > 0 && taken + more > bytes.len());
                prop_assert!(taken + more <= FIRST_BYTES + 4 + PROXY_HEADER_BYTES);
            }
            if let Header::Whole(_) = header {
                prop_assert_eq!(driven(&bytes[..taken]), (header, taken));
            }
        }

        /// What a proxy writes is read, in both versions.
        #[test]
        fn round_trips(address: [u8; 4], six: [u8; 16], port: u16) {
            let four = Ipv4Addr::from(address);
            let line = format!("PROXY TCP4 {four} 127.0.0.1 {port} 143\r\n");
            let expected = Header::Whole(Some((four, port).into()));
            prop_assert_eq!(driven(line.as_bytes()), (expected, line.len()));
            let rest = [&six[..], &[0; 16], &port.to_be_bytes(), &[0, 143]].concat();
            let expected = Header::Whole(Some((Ipv6Addr::from(six), port).into()));
            let bytes = binary(0x21, 0x21, &rest);
            prop_assert_eq!(driven(&bytes), (expected, bytes.len()));
        }
    }
}
