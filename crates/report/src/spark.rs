//! Blocks of eight heights for a line of text.

/// The block of a height, 0..=1: also the lowest can be seen.
pub fn spark(height: f64) -> char {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    LEVELS[((height.clamp(0.0, 1.0) * 7.0).round() as usize).min(7)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_are_eight_blocks() {
        assert_eq!([0.0, 0.5, 1.0, 7.0, f64::NAN].map(spark), ['▁', '▅', '█', '█', '▁']);
    }
}
