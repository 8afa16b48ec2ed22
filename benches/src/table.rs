//! How the rows stand to what they are to be compared with.

use tollgate_benches::Figure;
use tollgate_benches::credentials::rs256_alone;

/// Prints how the rows stand to what they are to be compared with.
pub(crate) fn goals(figures: &[Figure]) {
    let find = |name: &str| figures.iter().find(|figure| figure.name == name);
    let Some(bare) = find("bare axum") else { return };
    println!("\n| goal | asked | is |\n| --- | --- | --- |");
    let over = |name: &str| find(name).map_or(f64::NAN, |figure| figure.ns - bare.ns);
    let whole = |name: &str| find(name).map_or(f64::NAN, |figure| figure.ns);
    let key = "tollgate, key + scope + limit + headers";
    let goal = |what: &str, asked: &str, is: f64| println!("| {what} | {asked} | {is:.2} |");
    goal("key + headers ÷ tower_governor with headers", "≤ 0.8", over(key) / over("tower_governor with headers"));
    goal("key + headers ÷ floor", "", over(key) / over("floor: key + limit + headers"));
    goal("floor ÷ tower_governor with headers", "", over("floor: key + limit + headers") / over("tower_governor with headers"));
    goal("key + headers ÷ hand-rolled", "≤ 0.4", over(key) / over("hand-rolled from_fn, key + governor"));
    goal("key + headers: allocations over bare", "≤ 6", find(key).map_or(f64::NAN, |f| f.allocations - bare.allocations));
    for (algorithm, seen, first) in [("RS256", "≥ 60", "≥ 1.4"), ("HS256", "≥ 12", "≥ 1"), ("ES256", "", "≥ 1"), ("EdDSA", "", "≥ 1")] {
        let stack = over(&format!("jwt-authorizer + scope + tower_governor, {algorithm}"));
        let alone = over(&format!("jwt-authorizer alone, {algorithm}"));
        // The stack sends no header fields either.
        let before = over(&format!("tollgate, token seen before, {algorithm}"));
        let new = over(&format!("tollgate, token first seen, + headers, {algorithm}"));
        goal(&format!("{algorithm} stack ÷ token seen before"), seen, stack / before);
        let floor = over(&format!("floor: token seen before + limit, {algorithm}"));
        goal(&format!("{algorithm} stack ÷ floor of a token seen before"), "", stack / floor);
        let against = if algorithm == "RS256" { stack } else { alone };
        goal(&format!("{algorithm} peer ÷ token first seen"), first, against / new);
    }
    let signature = rs256_alone();
    goal("RS256 peer ÷ the signature alone", "", over("jwt-authorizer + scope + tower_governor, RS256") / signature);
    goal("RS256 peer ÷ the signature and a token seen before", "", over("jwt-authorizer + scope + tower_governor, RS256") / (signature + over("tollgate, token seen before, + headers, RS256")));
    for refused in ["api_key_malformed", "api_key_unknown", "token_malformed", "token_too_large"] {
        let cost = whole(&format!("refusal: tollgate {refused}"));
        goal(&format!("{refused} ÷ an admission by key"), "< 1", cost / whole(key));
    }
    let refusal = whole("refusal: tollgate rate_limited");
    goal("tower_governor 429 ÷ rate_limited", "≥ 4", whole("refusal: tower_governor") / refusal);
    goal("axum-governor 429 ÷ rate_limited", "≥ 8", whole("refusal: axum-governor") / refusal);
    goal("rate_limited ÷ bare with its handler", "≤ 1.2", refusal / bare.ns);
    goal("rate_limited ÷ a ready answer, nothing decided", "", refusal / whole("refusal: ready answer, nothing decided"));
    goal("floor ÷ bare with its handler", "", whole("refusal: floor") / bare.ns);
    goal("rate_limited: allocations", "≤ 6 over bare", find("refusal: tollgate rate_limited").map_or(f64::NAN, |f| f.allocations - bare.allocations));
}
