//! Generated text against a file that people have read.

use std::path::Path;

/// Compares with a file below `tests/output_golden`, or with one named from the
/// crate's root (`/docs/…`). `FULLCOUNT_WRITE=1` writes it anew.
pub fn same_as_file(name: &str, generated: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = match name.strip_prefix('/') {
        Some(name) => root.join(name),
        None => root.join("tests/output_golden").join(name),
    };
    if std::env::var_os("FULLCOUNT_WRITE").is_some() {
        std::fs::write(&path, generated).expect("the file can be written");
    }
    let shipped = std::fs::read_to_string(&path).unwrap_or_default();
    let path = path.display();
    assert!(shipped == generated, "{path} is stale; FULLCOUNT_WRITE=1 cargo test writes it:\n{generated}");
}
