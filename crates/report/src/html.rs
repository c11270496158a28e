//! x
use dyno_analyse::Analysis;
use dyno_model::record::Run;
/// x
pub fn html(_: &Run, _: &Analysis) -> String {
    String::new()
}
