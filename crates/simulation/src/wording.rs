//! Answers that are not what a client knows: parts left out, words and members that nobody has heard of. Pure.

use tidegate_sandbox::node::Node;

use crate::fault::Mangling;

/// Members whose values are words of a list that AWS may make longer. Source: the services' models.
const WORDS: [&str; 12] = [
    "status",
    "lastStatus",
    "desiredStatus",
    "rolloutState",
    "stabilityStatus",
    "healthStatus",
    "State",
    "StateValue",
    "StatusCode",
    "Status",
    "DBInstanceStatus",
    "Engine",
];

/// Leaves the last item out of every list at the top: a page that was lost, a list that is not complete.
pub(crate) fn leave_out(node: &mut Node) {
    let Node::Map(members) = node else { return };
    for (_, member) in members.iter_mut() {
        if let Node::List(items) = member {
            items.pop();
        }
    }
    members.retain(|(name, _)| !matches!(name.as_str(), "nextToken" | "NextToken" | "NextMarker" | "Marker"));
}

/// Makes of it what nobody knows.
pub(crate) fn mangle(node: &mut Node, mangling: Mangling) {
    match mangling {
        Mangling::UnknownWords => unknown_words(node),
        Mangling::UnknownMembers => unknown_members(node),
        Mangling::MissingMembers => missing_members(node, 0),
        // That is done to the bytes.
        Mangling::CutOff => {}
    }
}

fn unknown_words(node: &mut Node) {
    match node {
        Node::Map(members) => {
            for (name, member) in members {
                match member {
                    Node::Text(text) if WORDS.contains(&name.as_str()) => "SOMETHING_NEW".clone_into(text),
                    inner => unknown_words(inner),
                }
            }
        }
        Node::List(items) => items.iter_mut().for_each(unknown_words),
        Node::Null
        | Node::Bool(_)
        | Node::Int(_)
        | Node::Float(_)
        | Node::Text(_)
        | Node::Time(_)
        | Node::Blob(_) => {}
    }
}

fn unknown_members(node: &mut Node) {
    match node {
        Node::Map(members) => {
            members.iter_mut().for_each(|(_, member)| unknown_members(member));
            members.push(("somethingNew".to_owned(), Node::Text("new".to_owned())));
        }
        Node::List(items) => items.iter_mut().for_each(unknown_members),
        Node::Null
        | Node::Bool(_)
        | Node::Int(_)
        | Node::Float(_)
        | Node::Text(_)
        | Node::Time(_)
        | Node::Blob(_) => {}
    }
}

/// Every second member of the objects in lists is gone.
fn missing_members(node: &mut Node, depth: u32) {
    match node {
        Node::Map(members) => {
            if depth > 0 {
                let mut place = 0;
                members.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
            }
            members.iter_mut().for_each(|(_, member)| missing_members(member, depth));
        }
        Node::List(items) => items.iter_mut().for_each(|item| missing_members(item, depth + 1)),
        Node::Null
        | Node::Bool(_)
        | Node::Int(_)
        | Node::Float(_)
        | Node::Text(_)
        | Node::Time(_)
        | Node::Blob(_) => {}
    }
}
