//! JSON lines against the shipped schema, for any test that has some.

use serde_json::Value;

/// Where the schema stands.
pub const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/fullcount.schema.json");

/// Parses each line, checks it against the shipped schema, and checks what a
/// schema cannot say: `start` first, `seq` without a gap, a newline at the end.
/// Panics with the line and all that is wrong with it.
pub fn validate_lines(text: &str) -> Vec<Value> {
    let schema = std::fs::read_to_string(SCHEMA).expect("the schema is shipped");
    let schema: Value = serde_json::from_str(&schema).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is one");
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is cut: {text:?}");
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        let faults: Vec<String> = validator
            .iter_errors(&value)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{line}\n{}", faults.join("\n"));
        assert_eq!(value["type"] == "start", number == 0, "`start` stands first and only there: {line}");
        assert_eq!(value["seq"], number as u64, "lines are numbered without a gap: {line}");
        lines.push(value);
    }
    lines
}
