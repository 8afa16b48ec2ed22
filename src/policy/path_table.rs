//! Patterns, ready to be searched for the one that a path falls to.

use matchit::Router;

use super::path::specificity;

/// Patterns in the order of their text, each with the index of its rule.
pub(super) type Patterns = Vec<(String, usize)>;

/// Tables of the same rules, of which each has some.
#[derive(Debug, Default)]
pub(super) struct PathTables {
    tables: Vec<PathTable>,
    /// By rule. Compares as the patterns do: of several that match a path, the greatest counts.
    specificity: Vec<Box<[u8]>>,
}

/// Patterns and their rules. `matchit` cannot hold `/a/{x}` and `/a/{*rest}` together, so
/// those that conflict go to a further router; of several matches the most specific counts.
#[derive(Debug)]
struct PathTable {
    tiers: Vec<Router<usize>>,
}

impl PathTables {
    /// `paths` are the patterns of all rules. INVARIANT: they were accepted by `check_path`.
    pub(super) fn new(tables: Vec<Patterns>, paths: impl Iterator<Item = String>) -> Self {
        Self {
            tables: tables.into_iter().map(PathTable::new).collect(),
            specificity: paths.map(|path| specificity(&path).into()).collect(),
        }
    }

    /// The index of the rule that a path falls to in one of the tables.
    #[inline]
    pub(super) fn find(&self, table: usize, path: &str) -> Option<usize> {
        let found = |tier: &Router<usize>| tier.at(path).ok().map(|found| *found.value);
        match &self.tables.get(table)?.tiers[..] {
            [] => None,
            [only] => found(only),
            tiers => {
                let specificity = |index: &usize| self.specificity.get(*index);
                tiers.iter().filter_map(found).max_by_key(specificity)
            }
        }
    }

    /// The same in any of the tables.
    pub(super) fn find_anywhere(&self, path: &str) -> Option<usize> {
        (0..self.tables.len()).find_map(|table| self.find(table, path))
    }
}

impl PathTable {
    fn new(patterns: Patterns) -> Self {
        let mut table = Self { tiers: Vec::new() };
        for (pattern, index) in patterns {
            table.insert(pattern, index);
        }
        table
    }

    fn insert(&mut self, pattern: String, index: usize) {
        for tier in &mut self.tiers {
            if tier.insert(pattern.clone(), index).is_ok() {
                return;
            }
        }
        let mut tier = Router::new();
        if tier.insert(pattern, index).is_ok() {
            self.tiers.push(tier);
        }
    }
}
