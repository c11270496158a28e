//! JSON Schemas of the machine formats and of plan files, made from the types. `schemas/` holds them; a test keeps
//! them the same.

use std::process::ExitCode;

use dyno_model::{
    calibration::{Calibration, CalibrationOutput},
    capacity::{CapacityOutput, CapacityRecord},
    claim::{ClaimResult, VerdictRecord},
    gate::GateOutput,
    history::HistoryOutput,
    output::{AcrossOutput, CheckOutput, ListOutput, LoadOutput, RunOutput},
    record::{Block, Run},
    scaling::ScaleOutput,
};
use schemars::{Schema, schema_for};

use crate::{exit::Error, output::print};

/// Every schema with its file's name.
pub fn all() -> Vec<(&'static str, Schema)> {
    vec![
        ("list", schema_for!(ListOutput)),
        ("check", schema_for!(CheckOutput)),
        ("run", schema_for!(RunOutput)),
        ("compare", schema_for!(AcrossOutput)),
        ("gate", schema_for!(GateOutput)),
        ("history", schema_for!(HistoryOutput)),
        ("load", schema_for!(LoadOutput)),
        ("verdict", schema_for!(Vec<ClaimResult>)),
        ("record-verdict", schema_for!(VerdictRecord)),
        ("capacity", schema_for!(CapacityOutput)),
        ("record-capacity", schema_for!(CapacityRecord)),
        ("scale", schema_for!(ScaleOutput)),
        ("calibration", schema_for!(CalibrationOutput)),
        ("record-calibration", schema_for!(Calibration)),
        ("record-run", schema_for!(Run)),
        ("record-block", schema_for!(Block)),
        ("truth", schema_for!(dyno_truth::table::TruthOutput)),
        ("plan", schema_for!(dyno_plan::PlanFile)),
        ("traffic", schema_for!(dyno_plan::traffic::TrafficFile)),
    ]
}

/// Prints all of them as one object.
pub fn show_all() -> Result<ExitCode, Error> {
    let object: serde_json::Map<String, serde_json::Value> =
        all().into_iter().map(|(name, schema)| (name.to_owned(), schema.to_value())).collect();
    print(&format!("{}\n", serde_json::to_string_pretty(&object)?))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// `UPDATE_SCHEMAS=1 cargo test -p dyno-cli schemas` writes them again.
    #[test]
    fn the_committed_schemas_are_those_of_the_types() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
        for (name, schema) in all() {
            let path = folder.join(format!("{name}.schema.json"));
            let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
            if std::env::var_os("UPDATE_SCHEMAS").is_some() {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, &text).unwrap();
            }
            assert_eq!(fs::read_to_string(&path).unwrap_or_default(), text, "{}", path.display());
        }
    }
}
