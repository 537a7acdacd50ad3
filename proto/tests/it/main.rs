//! The committed Rust is what the committed `.proto` files say.

use std::fs;
use std::path::Path;

const FILES: [&str; 7] = [
    "command",
    "row",
    "directory",
    "peer",
    "store",
    "backup",
    "admin",
];

#[test]
fn generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: Vec<_> = FILES
        .iter()
        .map(|name| root.join(format!("v1/{name}.proto")))
        .collect();
    let descriptors = protox::compile(&files, [root.join("v1")]).expect("the .proto files compile");
    let out = tempfile::tempdir().expect("a scratch folder");
    tonic_prost_build::configure()
        .bytes(".")
        .client_mod_attribute(".", "#[cfg(feature = \"grpc\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"grpc\")]")
        .out_dir(out.path())
        .compile_fds(descriptors)
        .expect("code generation");
    let fresh = fs::read_to_string(out.path().join("rookery.v1.rs")).expect("one package");
    let committed = root.join("src/gen/rookery.v1.rs");
    if std::env::var_os("REGENERATE").is_some() {
        fs::write(&committed, &fresh).expect("src/gen is writable");
    }
    let kept = fs::read_to_string(&committed).unwrap_or_default();
    assert!(
        kept == fresh,
        "src/gen is stale: run `REGENERATE=1 cargo test -p proto`"
    );
}
