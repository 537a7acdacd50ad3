//! Channels to nodes and the requests on them.

use std::convert::Infallible;
use std::fs;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures_util::FutureExt;
use proto::v1::AdminStatusRequest;
use proto::v1::admin_client::AdminClient;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::Service;

use super::{Place, listener};
use crate::tls::{Caller, Tls, grpc_server};

/// Refuses every request, naming who made it.
#[derive(Clone)]
struct NamesCaller;

impl Service<Request<Body>> for NamesCaller {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let caller = request
            .extensions()
            .get::<Caller>()
            .expect("every connection has one");
        ready(Ok(
            Status::aborted(format!("{:?}", caller.identity)).into_http()
        ))
    }
}

/// Serves until stopped.
struct Served {
    stop: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn start(tls: &Tls, address: &str) -> (Self, String) {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let incoming = tls.incoming_peers(listener);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving =
            grpc_server().serve_with_incoming_shutdown(NamesCaller, incoming, stopped.map(drop));
        (
            Self {
                stop,
                serving: tokio::spawn(async { serving.await.unwrap() }),
            },
            address,
        )
    }

    /// Closes every connection.
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap();
    }
}

async fn who_am_i(channel: &Channel) -> Status {
    let mut client = AdminClient::new(channel.clone());
    client.status(AdminStatusRequest {}).await.unwrap_err()
}

#[tokio::test]
async fn a_request_tells_who_makes_it() {
    let place = Place::new();
    let (one, two) = (place.tls(1), place.tls(2));
    let (_served, address) = Served::start(&one, "127.0.0.1:0").await;
    let channel = two.dial(&address, 1).await.unwrap();
    assert_eq!(who_am_i(&channel).await.message(), "Node(2)");
}

#[tokio::test]
async fn dial_says_in_one_line_why_not() {
    let place = Place::new();
    let (one, two) = (place.tls(1), place.tls(2));
    let (_served, address) = Served::start(&one, "127.0.0.1:0").await;
    let error = two.dial(&address, 3).await.unwrap_err().to_string();
    let expected = format!("cannot connect to node 3 at {address}: ");
    assert!(
        error.starts_with(&expected) && error.contains("not valid for name"),
        "{error}"
    );
    let (_, gone) = listener().await;
    let error = two.dial(&gone, 1).await.unwrap_err().to_string();
    assert!(
        error.contains("refused") && error.lines().count() == 1,
        "{error}"
    );
}

#[tokio::test]
async fn a_channel_connects_again_with_the_newest_certificates() {
    let (old, new) = (Place::new(), Place::new());
    let (one, two) = (old.node(1), old.node(2));
    let (files_one, files_two) = (old.files(&one), old.files(&two));
    let (tls_one, tls_two) = (
        Tls::load(&files_one, 1).unwrap(),
        Tls::load(&files_two, 2).unwrap(),
    );
    let (served, address) = Served::start(&tls_one, "127.0.0.1:0").await;
    let channel = tls_two.dial(&address, 1).await.unwrap();
    assert_eq!(who_am_i(&channel).await.code(), Code::Aborted);

    // Another authority altogether: whoever kept the old certificate is out.
    fs::copy(new.path().join("ca.pem"), &files_one.ca).unwrap();
    for (id, made, tls) in [(1, &one, &tls_one), (2, &two, &tls_two)] {
        let renewed = new.node(id);
        fs::copy(&renewed.certificate, &made.certificate).unwrap();
        fs::copy(&renewed.key, &made.key).unwrap();
        assert!(tls.reload().unwrap());
    }
    served.stop().await;
    assert_eq!(who_am_i(&channel).await.code(), Code::Unavailable);
    let (_served, _) = Served::start(&tls_one, &address).await;
    while who_am_i(&channel).await.message() != "Node(2)" {
        tokio::task::yield_now().await;
    }
}
