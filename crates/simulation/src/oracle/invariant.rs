//! The invariants that the oracles watch, by their ids in the project's list, and what each demands in one sentence.
//!
//! Nothing here judges; [`super::elsewhere`] has those that no oracle watches.

/// What must hold. The ids are those of the list of invariants that the project is built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each says what it means in `sentence`")]
pub enum Invariant {
    T1,
    T2,
    T3,
    T5,
    T6,
    D1,
    D2,
    D6,
    D7,
    N1,
    N3,
    N4,
    R1,
    R2,
    R3,
    R4,
    E1,
    E2,
    E3,
    E4,
    E5,
    J1,
    J2,
    J3,
    J4,
    P1,
    P2,
    C1,
    C2,
    C3,
    O1,
    O2,
    O3,
    V1,
    X1,
    Lv1,
    Lv2,
    G15,
    G16,
    G17,
}

impl Invariant {
    /// Every invariant that an oracle watches.
    pub const ALL: [Self; 40] = [
        Self::T1,
        Self::T2,
        Self::T3,
        Self::T5,
        Self::T6,
        Self::D1,
        Self::D2,
        Self::D6,
        Self::D7,
        Self::N1,
        Self::N3,
        Self::N4,
        Self::R1,
        Self::R2,
        Self::R3,
        Self::R4,
        Self::E1,
        Self::E2,
        Self::E3,
        Self::E4,
        Self::E5,
        Self::J1,
        Self::J2,
        Self::J3,
        Self::J4,
        Self::P1,
        Self::P2,
        Self::C1,
        Self::C2,
        Self::C3,
        Self::O1,
        Self::O2,
        Self::O3,
        Self::V1,
        Self::X1,
        Self::Lv1,
        Self::Lv2,
        Self::G15,
        Self::G16,
        Self::G17,
    ];

    /// Its id.
    pub fn id(self) -> &'static str {
        match self {
            Self::T1 => "T1",
            Self::T2 => "T2",
            Self::T3 => "T3",
            Self::T5 => "T5",
            Self::T6 => "T6",
            Self::D1 => "D1",
            Self::D2 => "D2",
            Self::D6 => "D6",
            Self::D7 => "D7",
            Self::N1 => "N1",
            Self::N3 => "N3",
            Self::N4 => "N4",
            Self::R1 => "R1",
            Self::R2 => "R2",
            Self::R3 => "R3",
            Self::R4 => "R4",
            Self::E1 => "E1",
            Self::E2 => "E2",
            Self::E3 => "E3",
            Self::E4 => "E4",
            Self::E5 => "E5",
            Self::J1 => "J1",
            Self::J2 => "J2",
            Self::J3 => "J3",
            Self::J4 => "J4",
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::C1 => "C1",
            Self::C2 => "C2",
            Self::C3 => "C3",
            Self::O1 => "O1",
            Self::O2 => "O2",
            Self::O3 => "O3",
            Self::V1 => "V1",
            Self::X1 => "X1",
            Self::Lv1 => "LV1",
            Self::Lv2 => "LV2",
            Self::G15 => "G15",
            Self::G16 => "G16",
            Self::G17 => "G17",
        }
    }

    /// What it demands.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::T1 => "traffic begins to move only to a group with enough healthy targets",
            Self::T2 => "production has weight, and none on a group without tasks",
            Self::T3 => "blue stays until all traffic is on green and the bake is served",
            Self::T5 => "one deployment of a service at a time",
            Self::T6 => "traffic does not begin to move while an alarm of the group is red",
            Self::D1 => {
                "the old form is hidden when contract was approved and nobody names it, and dropped after its quarantine"
            }
            Self::D2 => "every version that has tasks finds what its statements name",
            Self::D6 => "no way back changes the schema, but to give a hidden form back",
            Self::D7 => "steps in the database come in the order of epochs",
            Self::N1 => {
                "nothing is dropped without a young snapshot of this instance that is available and was taken after the hiding"
            }
            Self::N3 => "no snapshot is deleted",
            Self::N4 => "nothing is restored over a database",
            Self::R1 => "what leads back is in the ledger before anything goes forward",
            Self::R2 => "what was rolled back goes forward no more",
            Self::R3 => "what is deployed is an exact revision",
            Self::R4 => "who has read an abort sends nothing forward",
            Self::E1 => "effects come in the order of epochs",
            Self::E2 => "who lost the lease writes nothing to the ledger",
            Self::E3 => "who holds no lease sends nothing, but for a stop while the ledger does not answer",
            Self::E4 => "a lease is granted to another one only after its end",
            Self::E5 => "what became of a call is read before another one is sent, once it can land no more",
            Self::J1 => {
                "the intent is in the ledger before its effect is in the world, but for a stop while the ledger does not answer"
            }
            Self::J2 => "a call is repeated only after reading what became of it",
            Self::J3 => "one intent makes at most one thing",
            Self::J4 => "the ledger's chain holds",
            Self::P1 => "a release goes on by one spec version, and never back to an older one",
            Self::P2 => "without a spec to read, nothing goes forward",
            Self::C1 => "what has settled serves alone",
            Self::C2 => "what is not ours is neither let go nor stopped",
            Self::C3 => "no deployment is asked for while another one has been under way for long",
            Self::O1 => "traffic that somebody has moved by hand is told of",
            Self::O2 => "who has read a hold sends nothing forward",
            Self::O3 => "the status claims nothing that is not so",
            Self::V1 => "nothing panics",
            Self::X1 => "no secret is in anything that is written",
            Self::Lv1 => "when faults have ended, the release ends or is held for a reason",
            Self::Lv2 => "what is refused, or at rest, is not asked again and again",
            Self::G15 => "when faults have ended, nothing stays undecided",
            Self::G16 => "at rest nothing is changed for a day",
            Self::G17 => {
                "no more calls that change something than the plan has, and two or three for each fault"
            }
        }
    }
}
