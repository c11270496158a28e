//! The rules of the grammar, one function each.

use std::ops::Range;

use dyno_model::{
    StackName,
    claim::{Claim, ClaimMetric, Predicate, Quantity, Ratio, Region},
};

use super::{
    cycles::Orderings,
    quantity::{Draft, Known, OP_EXAMPLE},
    regions::{self, About},
    text::{Cursor, Fail},
};

pub(super) const CLAIM: &str =
    "claim \"flask beats django\": throughput(flask/gunicorn)/throughput(django/gunicorn) in (1,inf)";
const QUANTITY: &str = "throughput(flask/gunicorn, op=types)";
const SET: &str = "fastest throughput(go-bun/go) of {flask/gunicorn, django/gunicorn}";
const NESTED: &str = "(cpu(flask/gunicorn@3.14)/cpu(flask/gunicorn@3.13)) / (cpu(tornado/tornado@3.14)/cpu(tornado/tornado@3.13)) in (0.9,1.1)";

/// Reads one file.
pub struct Parser<'a> {
    cursor: Cursor<'a>,
    known: &'a Known<'a>,
    defaults: Draft,
    orderings: Orderings,
}

/// `delta`, `level` and `family` of a claim.
#[derive(Default)]
struct Options {
    delta_percent: Option<f64>,
    level_percent: Option<f64>,
    family: Option<String>,
}

impl<'a> Parser<'a> {
    /// At the beginning of a text.
    pub fn new(text: &'a str, known: &'a Known<'a>) -> Self {
        Self { cursor: Cursor::new(text), known, defaults: Draft::default(), orderings: Orderings::default() }
    }

    /// `(default | claim)*`
    pub fn file(mut self) -> Result<Vec<Claim>, Fail> {
        let mut claims: Vec<Claim> = Vec::new();
        while !self.cursor.rest().is_empty() {
            match self.cursor.peek_word() {
                "default" => self.default(&claims)?,
                "claim" => {
                    let claim = self.claim(&claims)?;
                    claims.push(claim);
                }
                _ => {
                    let expected = if claims.is_empty() {
                        "`claim` or `default`"
                    } else {
                        "`and`, an option, or `claim`"
                    };
                    return Err(self.cursor.unexpected(expected, CLAIM));
                }
            }
        }
        if claims.is_empty() {
            return Err(self.cursor.unexpected("a claim", CLAIM));
        }
        Ok(claims)
    }

    /// `"default" key "=" value`, before the first claim.
    fn default(&mut self, claims: &[Claim]) -> Result<(), Fail> {
        let (_, span) = self.cursor.word();
        if !claims.is_empty() {
            let message = "a `default` stands before the first claim, for it holds for all of them";
            return Err(Fail::new(span, message, OP_EXAMPLE));
        }
        // Everything to the end of the line: a default has no bracket that ends it.
        self.defaults.setting(&mut self.cursor, |c| !matches!(c, '\n' | '#'), OP_EXAMPLE)
    }

    /// `"claim" STRING ":" pred ("and" pred)* opts`
    fn claim(&mut self, claims: &[Claim]) -> Result<Claim, Fail> {
        let (_, start) = self.cursor.word();
        let line = self.cursor.line(start.start);
        let (name, span) = self.name()?;
        if let Some(other) = claims.iter().find(|claim| claim.name == name) {
            let message = format!("a claim is called \"{name}\" already, in line {}", other.line);
            return Err(Fail::new(span, message, CLAIM));
        }
        self.cursor.expect(':', "after the claim's name", CLAIM)?;
        let mut predicates = vec![self.predicate()?];
        while self.cursor.peek_word() == "and" {
            self.cursor.word();
            predicates.push(self.predicate()?);
        }
        let options = self.options(claims, &predicates)?;
        let Options { delta_percent, level_percent, family } = options;
        Ok(Claim { name, predicates, delta_percent, level_percent, family, line })
    }

    /// `"…"` on one line.
    fn name(&mut self) -> Result<(String, Range<usize>), Fail> {
        let start = self.cursor.here();
        self.cursor.expect('"', "and the claim's name", CLAIM)?;
        let rest = self.cursor.rest_of_line();
        let Some(length) = rest.find('"') else {
            let message = "the name has no `\"` at its end, on this line";
            return Err(Fail::new(start..start + 1 + rest.len(), message, CLAIM));
        };
        let name = rest[..length].trim();
        self.cursor.advance(length + 1);
        let span = start..self.cursor.behind();
        if name.is_empty() {
            return Err(Fail::new(span, "a claim needs a name", CLAIM));
        }
        Ok((name.to_owned(), span))
    }

    /// One of the forms of a predicate.
    fn predicate(&mut self) -> Result<Predicate, Fail> {
        let start = self.cursor.here();
        if self.cursor.take('(') {
            return self.ratio_of_ratios();
        }
        if self.cursor.peek_word() == "fastest" {
            self.cursor.word();
            return self.fastest(start);
        }
        let first = self.quantity()?;
        if self.cursor.take('/') {
            let of = self.ratio(first, start)?;
            let region = self.region(About::Ratio)?;
            return Ok(Predicate::Ratio { of, region });
        }
        if self.cursor.take('-') {
            let less = self.quantity()?;
            self.alike("a difference", &first, &less, start)?;
            let region = self.region(About::Difference(first.metric))?;
            return Ok(Predicate::Difference { from: first, less, region });
        }
        if self.cursor.rest().starts_with('>') {
            return self.ordering(first);
        }
        if self.cursor.peek_word() == "in" {
            let region = self.region(About::Value(first.metric))?;
            return Ok(Predicate::Value { of: first, region });
        }
        if self.cursor.rest().starts_with('<') {
            let (_, span) = self.cursor.found();
            let message = "orderings are written from the largest to the smallest, with `>`";
            return Err(Fail::new(
                span,
                message,
                format!("{QUANTITY} > throughput(django/gunicorn, op=types)"),
            ));
        }
        Err(self
            .cursor
            .unexpected("`/`, `-`, `>` or `in` and a region", &format!("{QUANTITY} in (500rps,inf)")))
    }

    /// The rest of `quant "/" quant`.
    fn ratio(&mut self, over: Quantity, start: usize) -> Result<Ratio, Fail> {
        let under = self.quantity()?;
        self.alike("a ratio", &over, &under, start)?;
        Ok(Ratio { over, under })
    }

    /// The rest of `"(" ratio ")" "/" "(" ratio ")" "in" region`.
    fn ratio_of_ratios(&mut self) -> Result<Predicate, Fail> {
        let over = self.nested()?;
        self.cursor.expect(')', "after the first ratio", NESTED)?;
        self.cursor.expect('/', "between two ratios", NESTED)?;
        self.cursor.expect('(', "before the second ratio", NESTED)?;
        let under = self.nested()?;
        self.cursor.expect(')', "after the second ratio", NESTED)?;
        let region = self.region(About::Ratio)?;
        Ok(Predicate::RatioOfRatios { over: Box::new(over), under: Box::new(under), region })
    }

    fn nested(&mut self) -> Result<Ratio, Fail> {
        let start = self.cursor.here();
        let over = self.quantity()?;
        self.cursor.expect('/', "and a quantity: a ratio", NESTED)?;
        self.ratio(over, start)
    }

    /// The rest of `quant (">" quant)+`.
    fn ordering(&mut self, first: Quantity) -> Result<Predicate, Fail> {
        let mut of = vec![first];
        while self.cursor.take('>') {
            let at = self.cursor.here();
            let next = self.quantity()?;
            let before = &of[of.len() - 1];
            if before.metric != next.metric {
                return Err(self.unlike("an ordering", before, &next, at));
            }
            self.order(before, &next, at)?;
            of.push(next);
        }
        if self.cursor.peek_word() == "in" {
            let message = "an ordering has no region; `delta` says by how much at least it holds";
            let (_, span) = self.cursor.found();
            return Err(Fail::new(
                span,
                message,
                format!("{QUANTITY} > throughput(django/gunicorn, op=types) delta 3%"),
            ));
        }
        Ok(Predicate::Ordering { of })
    }

    /// The rest of `"fastest" quant "of" "{" stack ("," stack)* "}"`.
    fn fastest(&mut self, start: usize) -> Result<Predicate, Fail> {
        let of = self.quantity()?;
        if of.metric == ClaimMetric::Memory {
            let message = "`fastest` is about speed, and memory has none; write an ordering";
            let example = "memory(flask/gunicorn) > memory(go-bun/go)";
            return Err(Fail::new(start..self.cursor.behind(), message, example));
        }
        if self.cursor.peek_word() != "of" {
            return Err(self.cursor.unexpected("`of` and a set of stacks", SET));
        }
        self.cursor.word();
        self.cursor.expect('{', "before the set's stacks", SET)?;
        let mut set: Vec<StackName> = Vec::new();
        loop {
            let (stack, span) = self.known.stack(&mut self.cursor)?;
            if set.contains(&stack) {
                return Err(Fail::new(span, format!("`{stack}` is in the set twice"), SET));
            }
            let other = Quantity { stack: stack.clone(), ..of.clone() };
            self.known.offers(&other, span.clone())?;
            if stack != of.stack {
                let (more, less) = if of.metric.more_is_better() { (&of, &other) } else { (&other, &of) };
                self.orderings
                    .add(more, less, self.cursor.line(span.start))
                    .map_err(|message| Fail::new(span, message, SET))?;
            }
            set.push(stack);
            if !self.cursor.take(',') {
                break;
            }
        }
        self.cursor.expect('}', "or `,` and another stack", SET)?;
        if set.iter().all(|stack| *stack == of.stack) {
            let message = format!("the set has no other stack than `{}`", of.stack);
            return Err(Fail::new(start..self.cursor.behind(), message, SET));
        }
        Ok(Predicate::Fastest { of, set })
    }

    fn order(&mut self, more: &Quantity, less: &Quantity, at: usize) -> Result<(), Fail> {
        let line = self.cursor.line(at);
        let added = self.orderings.add(more, less, line);
        added.map_err(|message| {
            Fail::new(
                at..self.cursor.behind(),
                message,
                format!("{QUANTITY} > throughput(django/gunicorn, op=types)"),
            )
        })
    }

    /// Two quantities that are compared have one metric and aren't the same.
    fn alike(&self, what: &str, a: &Quantity, b: &Quantity, start: usize) -> Result<(), Fail> {
        if a.metric != b.metric {
            return Err(self.unlike(what, a, b, start));
        }
        if a == b {
            let message = format!("{what} of {a} with itself says nothing");
            return Err(Fail::new(start..self.cursor.behind(), message, CLAIM));
        }
        Ok(())
    }

    fn unlike(&self, what: &str, a: &Quantity, b: &Quantity, start: usize) -> Fail {
        let message = format!("{what} has one metric, and here are {} and {}", a.metric, b.metric);
        Fail::new(start..self.cursor.behind(), message, CLAIM)
    }

    fn quantity(&mut self) -> Result<Quantity, Fail> {
        self.known.quantity(&mut self.cursor, &self.defaults)
    }

    fn region(&mut self, about: About) -> Result<Region, Fail> {
        regions::region(&mut self.cursor, about)
    }

    /// `("delta" pct | "level" pct | "family" name)*`
    fn options(&mut self, claims: &[Claim], predicates: &[Predicate]) -> Result<Options, Fail> {
        let mut options = Options::default();
        let mut family_at = 0..0;
        loop {
            let key = self.cursor.peek_word();
            if !matches!(key, "delta" | "level" | "family") {
                break;
            }
            let (_, span) = self.cursor.word();
            let again = match key {
                "delta" => options
                    .delta_percent
                    .replace(self.percent("how much, ", "delta 3%", 0.0..=100.0)?)
                    .is_some(),
                "level" => options
                    .level_percent
                    .replace(self.percent("how sure, ", "level 99%", 80.0..=99.9)?)
                    .is_some(),
                _ => {
                    let (name, at) =
                        self.cursor.take_while(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
                    if name.is_empty() {
                        return Err(self.cursor.unexpected("the family's name", "family seeds"));
                    }
                    family_at = at;
                    options.family.replace(name.to_owned()).is_some()
                }
            };
            if again {
                return Err(Fail::new(
                    span,
                    format!("`{key}` is there twice"),
                    "delta 3% level 99% family seeds",
                ));
            }
            let ordered =
                |one: &Predicate| matches!(one, Predicate::Ordering { .. } | Predicate::Fastest { .. });
            if key == "delta" && !predicates.iter().any(ordered) {
                let message =
                    "`delta` is for orderings and `fastest`; a region says by itself how much it wants";
                return Err(Fail::new(span, message, "… in (1.03,inf)"));
            }
        }
        let other = options
            .family
            .as_ref()
            .and_then(|family| claims.iter().find(|claim| claim.family.as_ref() == Some(family)));
        if let Some(other) = other.filter(|other| other.level_percent != options.level_percent) {
            let message =
                format!("a family has one level, and \"{}\" in line {} has another", other.name, other.line);
            return Err(Fail::new(family_at, message, "level 99% family seeds"));
        }
        Ok(options)
    }

    fn percent(
        &mut self,
        what: &str,
        example: &str,
        range: std::ops::RangeInclusive<f64>,
    ) -> Result<f64, Fail> {
        let (text, span) = self.cursor.take_while(|c| !c.is_whitespace() && c != '#');
        let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            Fail::new(span, format!("expected {what}{low}% to {high}%, found `{text}`"), example)
        })
    }
}
