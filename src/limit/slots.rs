//! Which limits a cluster can take together.

use super::{KeyPart, Limit};

/// The part that leads in the keys of a limit, as far as its `per` says: limits with the same one are
/// in one slot. `None` where the limit counts everybody together.
///
/// A request that lacks a claim, header or parameter is counted by its client or address in place
/// of it.
pub(crate) fn leading_part(limit: &Limit) -> Option<&KeyPart> {
    let rank = |part: &&KeyPart| match part {
        KeyPart::Client => 0,
        KeyPart::Address => 1,
        KeyPart::Claim(_) => 2,
        KeyPart::Header(_) => 3,
        KeyPart::Path(_) => 4,
        KeyPart::Rule => 5,
        KeyPart::Global => 6,
    };
    limit.per.iter().min_by_key(rank).filter(|part| **part != KeyPart::Global)
}

/// How many scripts a decision of a rule with these limits takes in a cluster: one for each slot that its keys
/// lie in. They run at the same time; where one refuses, what the others took is given back.
pub(crate) fn scripts_in_cluster<'l>(limits: impl IntoIterator<Item = &'l Limit>) -> usize {
    let mut leading: Vec<Option<&KeyPart>> = Vec::new();
    for part in limits.into_iter().map(leading_part) {
        if !leading.contains(&part) {
            leading.push(part);
        }
    }
    leading.len()
}

#[cfg(test)]
mod tests {
    use super::super::store_laws::limit;
    use super::*;

    #[test]
    fn limits_of_one_caller_are_one_script() {
        let of = |per: &[KeyPart]| {
            let mut limit = limit("few", &[1], 10);
            limit.per = per.to_vec();
            limit
        };
        let (client, address, global) = (KeyPart::Client, KeyPart::Address, KeyPart::Global);
        let path = KeyPart::Path("id".into());
        let (one, other) = (of(std::slice::from_ref(&client)), of(&[address]));
        let both = of(&[path.clone(), client]);
        assert_eq!(scripts_in_cluster([&one, &both]), 1);
        assert_eq!(scripts_in_cluster([&one, &both, &other]), 2);
        assert_eq!(scripts_in_cluster([&other, &of(&[global]), &of(&[path])]), 3);
        assert_eq!(scripts_in_cluster([]), 0);
    }
}
