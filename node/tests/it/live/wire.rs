//! A client that sends bytes and reads lines. It waits for what must come, and for nothing else.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use node::pki::Made;
use node::tls::provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

/// So that a test ends; nothing takes that long.
const PATIENCE: Duration = Duration::from_secs(100);

/// One connection.
pub struct Wire {
    socket: Socket,
    /// What was read and not yet looked at.
    got: Vec<u8>,
    ended: bool,
    /// Both directions, if they are compressed.
    deflate: Option<(Compress, Decompress)>,
}

enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Socket {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

impl Wire {
    pub fn connect(address: &str) -> Self {
        Self::new(TcpStream::connect(address).expect(address))
    }

    /// Connects from another address of this machine.
    pub fn connect_from(from: &str, address: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
            let address = tokio::net::lookup_host(address).await.unwrap();
            let address = address.into_iter().find(|address| address.is_ipv4());
            let stream = socket.connect(address.unwrap()).await.unwrap();
            stream.into_std().unwrap()
        });
        stream.set_nonblocking(false).unwrap();
        Self::new(stream)
    }

    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            socket: Socket::Plain(stream),
            got: Vec::new(),
            ended: false,
            deflate: None,
        }
    }

    /// Compresses from now on, both ways.
    pub fn deflate(&mut self) {
        assert_eq!(self.got, b"", "said in plain text");
        let compress = Compress::new(Compression::default(), false);
        self.deflate = Some((compress, Decompress::new(false)));
    }

    /// The certificate that the server has shown, DER.
    pub fn certificate(&self) -> Vec<u8> {
        let Socket::Tls(stream) = &self.socket else {
            panic!("not encrypted");
        };
        stream.conn.peer_certificates().unwrap()[0].to_vec()
    }

    /// What binds the channel (RFC 9266), seen from this side.
    pub fn exporter(&self) -> [u8; 32] {
        let Socket::Tls(stream) = &self.socket else {
            panic!("not encrypted");
        };
        let label = b"EXPORTER-Channel-Binding";
        let secret = stream
            .conn
            .export_keying_material([0; 32], label, Some(&[]));
        secret.unwrap()
    }

    /// Sends all of it, in one write. A server that closes meanwhile may be right.
    pub fn send(&mut self, bytes: &[u8]) {
        let mut deflated = Vec::new();
        let bytes = match &mut self.deflate {
            Some((compress, _)) => {
                deflated.reserve(bytes.len() + 1024);
                let flush = FlushCompress::Sync;
                compress.compress_vec(bytes, &mut deflated, flush).unwrap();
                &deflated
            }
            None => bytes,
        };
        if let Err(error) = self.socket.write_all(bytes) {
            let is_patient = !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            assert!(is_patient, "the server stopped reading: {error}");
        }
    }

    /// Sends for as long as the server takes it; `true` if it took all.
    pub fn press(&mut self, bytes: &[u8]) -> bool {
        let Socket::Plain(stream) = &mut self.socket else {
            panic!("not encrypted");
        };
        stream
            .set_write_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let pressed = stream.write_all(bytes);
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        match pressed {
            Ok(()) => true,
            Err(error) => {
                let full = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(full, "{error}");
                false
            }
        }
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        let Socket::Plain(stream) = &self.socket else {
            panic!("not encrypted");
        };
        // The server may have closed already.
        drop(stream.shutdown(Shutdown::Write));
    }

    /// The next line, without its end; none at the end of the connection.
    pub fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.got.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.got.drain(..=at).collect();
                let line = String::from_utf8_lossy(&line);
                return Some(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.ended {
                // An alert of TLS has no line end.
                let rest = std::mem::take(&mut self.got);
                let rest = (!rest.is_empty()).then_some(rest);
                return rest.map(|rest| String::from_utf8_lossy(&rest).into_owned());
            }
            let mut buffer = vec![0; 64 << 10];
            match self.socket.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(read) => self.take(&buffer[..read]),
                // A close with input unread reaches the client as a reset, and that its certificate
                // was refused as an alert of TLS.
                Err(error) => match error.kind() {
                    ErrorKind::ConnectionReset
                    | ErrorKind::UnexpectedEof
                    | ErrorKind::InvalidData => self.ended = true,
                    _ => panic!("no answer: {error}"),
                },
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        let Some((_, decompress)) = &mut self.deflate else {
            return self.got.extend_from_slice(bytes);
        };
        loop {
            self.got.reserve(64 << 10);
            let (before, length) = (decompress.total_in(), self.got.len());
            let flush = FlushDecompress::None;
            decompress
                .decompress_vec(bytes, &mut self.got, flush)
                .unwrap();
            bytes = &bytes[(decompress.total_in() - before) as usize..];
            if bytes.is_empty() && self.got.len() == length {
                return;
            }
        }
    }

    /// Lines up to one that begins so, with it. Without it if the connection ends before.
    pub fn until(&mut self, start: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.line() {
            let is_last = line.starts_with(start);
            lines.push(line);
            if is_last {
                break;
            }
        }
        lines
    }

    /// All lines to the end of the connection.
    pub fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.line()).collect()
    }

    /// Sends a command of IMAP, or several, and reads up to the tagged answer of this one.
    pub fn ask(&mut self, tag: &str, bytes: impl AsRef<[u8]>) -> Vec<String> {
        self.send(bytes.as_ref());
        self.until(&format!("{tag} "))
    }

    /// Does the client's side of a handshake; fails as the handshake does.
    pub fn start_tls(mut self, config: &Arc<ClientConfig>) -> std::io::Result<Self> {
        let Socket::Plain(mut stream) = self.socket else {
            panic!("encrypted already");
        };
        assert_eq!(self.got, b"", "said before the handshake");
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(Arc::clone(config), name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        self.socket = Socket::Tls(Box::new(StreamOwned::new(tls, stream)));
        Ok(self)
    }
}

/// A client that trusts this authority, and shows a certificate if it has one.
pub fn tls_client(ca: &Path, shown: Option<&Made>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca).unwrap())
        .unwrap();
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match shown {
        None => builder.with_no_client_auth(),
        Some(made) => {
            let chain = vec![CertificateDer::from_pem_file(&made.certificate).unwrap()];
            let key = PrivateKeyDer::from_pem_file(&made.key).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    })
}
