use std::{fmt::Write, path::PathBuf};

use dyno_model::{
    Operation,
    claim::{ClaimMetric, Predicate},
};
use proptest::prelude::*;

use super::*;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn catalogue() -> Catalogue {
    Catalogue::read(&repository().join("stacks")).unwrap()
}

fn parse(text: &str) -> Vec<Claim> {
    parse_claims(Path::new("mine.claims"), text, &catalogue()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(texts: &[&str]) -> String {
    let catalogue = catalogue();
    let mut errors = String::new();
    for text in texts {
        let error =
            parse_claims(Path::new("mine.claims"), text, &catalogue).expect_err(&format!("refused: {text}"));
        writeln!(errors, "{error}\n").unwrap();
    }
    errors
}

const A: &str = "throughput(flask/gunicorn)";
const B: &str = "throughput(django/gunicorn)";
const C: &str = "throughput(tornado/tornado)";

fn refused_predicates(predicates: &[&str]) -> String {
    let texts: Vec<String> =
        predicates.iter().map(|predicate| format!("claim \"c\": {predicate}\n")).collect();
    refused(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn every_form_is_read() {
    let claims = parse(
        "# A comment.\n\
         default op = types # and one behind\n\
         claim \"a value\": p99(flask/gunicorn, rate=500) in (0,20ms)\n\
         claim \"a ratio\": throughput(flask/gunicorn)/throughput(django/gunicorn, op=hello) in (1,1.5)\n\
         claim \"a difference\": cpu(flask/gunicorn) - cpu(django/gunicorn) in (-inf, -50us] level 99% family f\n\
         claim \"an interaction\":\n  (cpu(flask/gunicorn@3.14)/cpu(flask/gunicorn@3.13))\n  \
           / (cpu(tornado/tornado@3.14)/cpu(tornado/tornado@3.13)) in (90%,110%)\n\
         claim \"an order\": memory(django/gunicorn) > memory(flask/gunicorn) > memory(go-bun/go) delta 10%\n\
         claim \"two\": capacity(flask/gunicorn, slo=p99=50ms) in [100rps,inf) and fastest throughput(go-bun/go) of \
           {go-bun/go, flask/gunicorn,django/gunicorn} # the end",
    );
    let kinds: Vec<&str> = claims.iter().map(|claim| claim.name.as_str()).collect();
    assert_eq!(kinds, ["a value", "a ratio", "a difference", "an interaction", "an order", "two"]);
    let Predicate::Value { of, region } = &claims[0].predicates[0] else { panic!("{:?}", claims[0]) };
    assert_eq!((of.metric, of.settings.op, region.high()), (ClaimMetric::P99, Operation::Types, 20_000.0));
    assert_eq!(of.settings.rate.unwrap().per_s(), 500.0);
    let Predicate::Ratio { of, .. } = &claims[1].predicates[0] else { panic!("{:?}", claims[1]) };
    assert_eq!((of.over.settings.op, of.under.settings.op), (Operation::Types, Operation::Hello));
    assert_eq!((claims[2].level_percent, claims[2].family.as_deref()), (Some(99.0), Some("f")));
    assert_eq!(claims[2].line, 5);
    assert_eq!(claims[4].delta_percent, Some(10.0));
    assert_eq!((claims[4].predicates[0].quantities().len(), claims[5].predicates.len()), (3, 2));
    // The set's own stack isn't compared with itself: capacity, and three throughputs.
    assert_eq!(claims[5].quantities().len(), 4);
}

#[test]
fn what_no_one_says_is_a_page_of_contacts() {
    let claims = parse(&format!("claim \"c\": {A}/{B} in (1,inf)"));
    assert_eq!(claims[0].quantities()[0].settings.op, Operation::ContactsFetch);
}

#[test]
fn a_default_is_for_the_metrics_that_can_have_it() {
    let claims = parse(
        "default rate = 50/s\ndefault workers = 2\nclaim \"c\": p50(flask/gunicorn) in (0,5ms) and cpu(flask/gunicorn) in (0,1ms)",
    );
    let settings: Vec<_> = claims[0].quantities().into_iter().map(|one| one.settings).collect();
    assert_eq!((settings[0].rate.map(|rate| rate.per_s()), settings[0].workers), (Some(50.0), Some(2)));
    assert_eq!((settings[1].rate, settings[1].workers), (None, Some(2)));
}

#[test]
fn what_is_wrong_with_the_grammar() {
    let errors = refused(&[
        "",
        "# nothing\n",
        "clam \"c\": x",
        "claim c: x",
        "claim \"c: x\n",
        "claim \"\": x",
        "claim \"c\" throughput(flask/gunicorn)",
        "claim \"c\":",
        &format!("claim \"c\": {A}"),
        &format!("claim \"c\": {A} < {B}"),
        &format!("claim \"c\": {A} > {B} in (1,2)"),
        &format!("claim \"c\":\n\t{A}/{B} of (1,2)"),
        &format!("claim \"c\": {A}/{B} in 1,2"),
        &format!("claim \"c\": {A}/{B} in (1 2)"),
        &format!("claim \"c\": {A}/{B} in (1,2"),
        &format!("claim \"c\": ({A}) / ({B}) in (1,2)"),
        &format!("claim \"c\": {A}/{B} in (1,2) or {A}/{B} in (3,4)"),
        "claim \"c\": fastest throughput(flask/gunicorn) in {django/gunicorn}",
        "claim \"c\": fastest throughput(flask/gunicorn) of {}",
        "claim \"c\": fastest throughput(flask/gunicorn) of {flask/gunicorn}",
        "claim \"c\": fastest memory(flask/gunicorn) of {django/gunicorn}",
        &format!("claim \"c\": {A}/{B} in (1,2)\ndefault op = types"),
        &format!("claim \"é\": {A}/{B} in (1,2)\nclaim \"é\": {A}/{C} in (1,2)"),
    ]);
    insta::assert_snapshot!("grammar", errors);
}

#[test]
fn what_is_wrong_with_quantities() {
    let errors = refused_predicates(&[
        "thruput(flask/gunicorn) in (1rps,2rps)",
        "p99.9(flask/gunicorn, rate=5) in (1ms,2ms)",
        "throughput(flask) in (1rps,2rps)",
        "throughput(flask/gunicron) in (1rps,2rps)",
        "throughput(fastapi-asyncgp/uvicorn) in (1rps,2rps)",
        "throughput(flask/uwsgi/nginx-epol@3.13) in (1rps,2rps)",
        "throughput(zope/zserver) in (1rps,2rps)",
        "throughput(go-bun/go@3.13) in (1rps,2rps)",
        "throughput(flask/gunicorn@pypy3.12) in (1rps,2rps)",
        "throughput(flask/gunicorn, worker=2) in (1rps,2rps)",
        "throughput(flask/gunicorn, workers=0) in (1rps,2rps)",
        "throughput(flask/gunicorn, workers 2) in (1rps,2rps)",
        "throughput(flask/gunicorn, workers=2, workers=3) in (1rps,2rps)",
        "throughput(flask/gunicorn, workers=8, connections=4) in (1rps,2rps)",
        "throughput(flask/gunicorn, op=contact_for) in (1rps,2rps)",
        "throughput(flask/gunicorn, op=contact_create) in (1rps,2rps)",
        "throughput(flask/gunicorn, rate=500) in (1rps,2rps)",
        "throughput(flask/gunicorn, slo=p99=50ms) in (1rps,2rps)",
        "p99(flask/gunicorn) in (0,20ms)",
        "p99(flask/gunicorn, rate=fast) in (0,20ms)",
        "capacity(flask/gunicorn) in (1rps,2rps)",
        "capacity(flask/gunicorn, slo=p99) in (1rps,2rps)",
        "capacity(flask/gunicorn, slo=rate=5/s) in (1rps,2rps)",
    ]);
    insta::assert_snapshot!("quantities", errors);
}

#[test]
fn what_is_wrong_with_regions() {
    let ratio = |region: &str| format!("{A}/{B} in {region}");
    let difference = |region: &str| format!("{A} - {B} in {region}");
    let value = |region: &str| format!("p50(flask/gunicorn, rate=9) in {region}");
    let texts = [
        ratio("(2,1)"),
        ratio("(1,1)"),
        ratio("[1,1]"),
        ratio("(0,inf)"),
        ratio("(-1,2)"),
        ratio("(-inf,0)"),
        ratio("(1x,1.5x)"),
        ratio("(1ms,2)"),
        ratio("(1,NaN)"),
        ratio("(,2)"),
        difference("(-inf,inf)"),
        difference("(0,5%)"),
        difference("(0,5)"),
        value("(0,20)"),
        value("(0,20MiB)"),
        value("(-1ms,20ms)"),
    ];
    let errors = refused_predicates(&texts.each_ref().map(String::as_str));
    insta::assert_snapshot!("regions", errors);
    // No lower end, and one below zero where it makes sense.
    for text in [ratio("(0,1)"), ratio("[0,2]"), difference("(-5rps,inf)"), value("(0,20000us)")] {
        parse(&format!("claim \"c\": {text}"));
    }
}

#[test]
fn what_contradicts_itself() {
    let ratio = format!("{A}/{B} in (1,2)");
    let errors = refused(&[
        &format!("claim \"c\": {A} > {A}"),
        &format!("claim \"c\": {A}/{A} in (1,2)"),
        &format!("claim \"c\": {A} > {B} > {A}"),
        &format!("claim \"c\": {A} > {B}\nclaim \"d\": {B} > {A}"),
        &format!("claim \"c\": {A} > {B}\nclaim \"d\": {B} > {C}\nclaim \"e\":\n  {C} > {A}"),
        "claim \"c\": cpu(flask/gunicorn) > cpu(go-bun/go)\nclaim \"d\": fastest cpu(flask/gunicorn) of {go-bun/go}",
        &format!("claim \"c\": {A}/cpu(flask/gunicorn) in (1,2)"),
        &format!("claim \"c\": {A} > cpu(flask/gunicorn)"),
        &format!("claim \"c\": {ratio} delta 3%"),
        &format!("claim \"c\": {A} > {B} delta 3"),
        &format!("claim \"c\": {ratio} level 5%"),
        &format!("claim \"c\": {ratio} level 95% level 95%"),
        &format!("claim \"c\": {ratio} family"),
        &format!("claim \"c\": {ratio} family f\nclaim \"d\": {ratio} level 99% family f"),
    ]);
    insta::assert_snapshot!("contradictions", errors);
    // The same order twice, and one of other operations, are no cycle.
    parse(&format!("claim \"c\": {A} > {B}\nclaim \"d\": {A} > {B} > {C}"));
    parse(&format!("claim \"c\": {A} > {B}\nclaim \"d\": throughput(django/gunicorn, op=types) > {A}"));
}

#[test]
fn the_committed_files_are_right() {
    let catalogue = catalogue();
    let folder = repository().join("hypotheses");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "claims") {
            let file = read_claims(&path, &catalogue).unwrap_or_else(|error| panic!("{error}"));
            let text = file.claims.iter().map(|claim| format!("{claim}\n")).collect::<String>();
            let again: Vec<Claim> = parse(&text);
            let same =
                |a: &Claim, b: &Claim| Claim { line: 0, ..a.clone() } == Claim { line: 0, ..b.clone() };
            assert!(file.claims.iter().zip(&again).all(|(a, b)| same(a, b)), "{text}");
            names.extend(file.claims.into_iter().map(|claim| claim.name));
        }
    }
    assert!(names.len() >= 8, "{names:?}");
}

/// Every example in `docs/claims.md` is read: its blocks marked `claims`.
#[test]
fn the_examples_of_the_page_are_right() {
    let page = fs::read_to_string(repository().join("docs/claims.md")).unwrap();
    let blocks: Vec<&str> =
        page.split("```claims\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        assert!(!parse(block).is_empty());
    }
}

fn quantity(metric: &'static str) -> impl Strategy<Value = String> {
    let stack = prop::sample::select(vec![
        "flask/gunicorn",
        "go-bun/go",
        "tornado/tornado@3.13",
        "flask/uwsgi/nginx",
    ]);
    let op = prop::sample::select(vec!["", ", op=types", ", op=fibonacci"]);
    let workers = prop::sample::select(vec!["", ", workers=1", ", threads=4, connections=8"]);
    let needed = match metric {
        "p99" | "p50" => ", rate=0.5/s",
        "capacity" => ", slo=p99<12.5ms",
        _ => "",
    };
    (stack, op, workers)
        .prop_map(move |(stack, op, workers)| format!("{metric}({stack}{op}{workers}{needed})"))
}

fn predicate() -> impl Strategy<Value = String> {
    let metric = prop::sample::select(vec!["throughput", "cpu", "p99", "p50", "capacity", "memory"]);
    let four = metric.prop_flat_map(|metric| (Just(metric), prop::array::uniform4(quantity(metric))));
    (four, 1..1000u32, 0..6usize).prop_map(|((metric, [a, b, c, d]), number, form)| {
        let unit = metric.parse::<ClaimMetric>().unwrap().units()[0].name();
        match form {
            0 => format!("{a} in [0,{number}{unit})"),
            1 => format!("{a}/{b} in (0.1,{number}.5]"),
            2 => format!("{a} - {b} in (-{number}{unit},inf)"),
            3 => format!("({a}/{b})/({c}/{d}) in (0,{number}%)"),
            4 => format!("{a} > {b} > {c}"),
            _ => format!("fastest {a} of {{flask/gunicorn, go-bun/go, django/gunicorn}}"),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    /// What is read prints itself so that it is read as the same.
    #[test]
    fn claims_text_and_back(one in predicate(), two in predicate(), options in prop::sample::select(vec!["", " level 99.5%", " family f_1"])) {
        let catalogue = CATALOGUE.with(Clone::clone);
        let path = Path::new("mine.claims");
        // Some say nothing, for instance a ratio of a quantity with itself: those are refused.
        if let Ok(claims) = parse_claims(path, &format!("claim \"a b\": {one} and {two}{options}"), &catalogue) {
            let printed = claims[0].to_string();
            prop_assert_eq!(parse_claims(path, &printed, &catalogue).unwrap(), claims.clone());
            let json = serde_json::to_string(&claims).unwrap();
            prop_assert_eq!(serde_json::from_str::<Vec<Claim>>(&json).unwrap(), claims);
        }
    }

    /// Whatever is written, there is an answer.
    #[test]
    fn nonsense_is_refused_and_nothing_breaks(text in "(claim|\"|é|:|throughput|\\(|\\)|flask/gunicorn|,|=| in |\\[|1|%|ms|\n|#|>|-|/|default|op|\\{|\\}|fastest| of ){0,24}") {
        let catalogue = CATALOGUE.with(Clone::clone);
        if let Err(error) = parse_claims(Path::new("mine.claims"), &text, &catalogue) {
            prop_assert!(error.to_string().contains("  example: "), "{}", error);
        }
    }
}

thread_local! {
    static CATALOGUE: Catalogue = catalogue();
}
