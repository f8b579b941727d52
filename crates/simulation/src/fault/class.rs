//! The classes of faults, what of each a plan can name, and which ones a swarm must have seen.

/// A class of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// `F1`.
    pub id: &'static str,
    /// What it is.
    pub what: &'static str,
    /// How a swarm comes by it.
    pub drawn: Drawn,
}

/// How a swarm comes by a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawn {
    /// In every scenario.
    Everywhere,
    /// In scenarios with a database.
    WithDatabase,
}

const fn class(id: &'static str, what: &'static str) -> Class {
    Class { id, what, drawn: Drawn::Everywhere }
}

/// Every class, in order.
pub const CLASSES: [Class; 26] = [
    class("F1", "a crash between any two steps"),
    class("F2", "an error before the effect"),
    class("F3", "an error after the effect"),
    class("F4", "a call that arrives twice"),
    class("F5", "a call that arrives late"),
    class("F6", "a stale read"),
    class("F7", "states that nobody saw"),
    class("F8", "throttling"),
    class("F9", "a part of an answer"),
    class("F10", "refused credentials"),
    class("F11", "an answer that nobody understands"),
    class("F12", "a leader that stands still and goes on"),
    class("F13", "a clock that jumps"),
    class("F14", "a ledger that is lost or set back"),
    Class { drawn: Drawn::WithDatabase, ..class("F15", "the target database") },
    class("F16", "what is asked for changes"),
    class("F17", "a hand edit"),
    class("F18", "somebody else's automation"),
    class("F19", "CodeDeploy lies or stops half way"),
    class("F20", "metrics and alarms"),
    class("F21", "the application"),
    Class { drawn: Drawn::WithDatabase, ..class("F22", "snapshots") },
    class("F23", "a service that is gone for long"),
    class("F24", "a newer version of the daemon, and the old one again"),
    class("F25", "many releases at once"),
    class("F26", "secrets where none belong"),
];

/// Classes that a swarm over such scenarios can draw, and that never struck.
pub fn unseen<'s>(
    struck: impl Fn(&str) -> bool + 's,
    with_database: bool,
) -> impl Iterator<Item = &'static Class> + 's {
    CLASSES.iter().filter(move |class| match class.drawn {
        Drawn::Everywhere => !struck(class.id),
        Drawn::WithDatabase => with_database && !struck(class.id),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_in_order_and_a_missing_one_is_told() {
        let numbers: Vec<String> = (1..=26).map(|number| format!("F{number}")).collect();
        assert!(CLASSES.iter().map(|class| class.id).eq(numbers.iter().map(String::as_str)));
        let missing = |with_database| {
            let all = unseen(|id| id != "F15" && id != "F4", with_database);
            all.map(|class| class.id).collect::<Vec<_>>()
        };
        assert_eq!(missing(false), ["F4"]);
        assert_eq!(missing(true), ["F4", "F15"]);
    }
}
