//! Groups of a directed graph whose members all reach each other (strongly connected components).
//!
//! Kosaraju's two passes: order the nodes by when a depth-first search leaves them, then search the reversed graph from
//! the last to the first. The groups come out in topological order: no edge leads from a later group to an earlier one.
//! Reference: Cormen, Leiserson, Rivest and Stein, "Introduction to algorithms", 20.5.

/// The groups of `nodes` nodes under `edges` (from, to), each sorted, in topological order.
pub(crate) fn strong_groups(nodes: usize, edges: impl Iterator<Item = (usize, usize)>) -> Vec<Vec<usize>> {
    let mut forward = vec![Vec::new(); nodes];
    let mut backward = vec![Vec::new(); nodes];
    for (from, to) in edges {
        forward[from].push(to);
        backward[to].push(from);
    }
    let mut seen = vec![false; nodes];
    let mut left = Vec::with_capacity(nodes);
    for node in 0..nodes {
        search(node, &forward, &mut seen, &mut left);
    }
    seen.fill(false);
    let mut groups = Vec::new();
    for &node in left.iter().rev() {
        let mut group = Vec::new();
        search(node, &backward, &mut seen, &mut group);
        if !group.is_empty() {
            group.sort_unstable();
            groups.push(group);
        }
    }
    groups
}

/// Depth-first search from `start` over nodes not yet `seen`; they are pushed in the order in which they are left.
fn search(start: usize, next: &[Vec<usize>], seen: &mut [bool], left: &mut Vec<usize>) {
    if std::mem::replace(&mut seen[start], true) {
        return;
    }
    // The path down to the current node, each with the position of the neighbour to try next.
    let mut path = vec![(start, 0)];
    while let Some((node, position)) = path.last_mut() {
        let neighbour = next[*node].get(*position).copied();
        *position += 1;
        match neighbour {
            Some(neighbour) if !std::mem::replace(&mut seen[neighbour], true) => path.push((neighbour, 0)),
            Some(_) => {}
            None => {
                left.push(*node);
                path.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(nodes: usize, edges: &[(usize, usize)], expect: &[&[usize]]) {
        assert_eq!(strong_groups(nodes, edges.iter().copied()), expect);
    }

    #[test]
    fn groups_in_topological_order() {
        check(0, &[], &[]);
        check(3, &[(0, 1), (1, 2), (2, 0)], &[&[0, 1, 2]]);
        check(3, &[(2, 0), (0, 1), (1, 0)], &[&[2], &[0, 1]]);
        check(4, &[(3, 2), (2, 3), (2, 1), (1, 0), (0, 1)], &[&[2, 3], &[0, 1]]);
        check(2, &[], &[&[1], &[0]]);
    }
}
