//! Types of events, by the names that their senders give them.

/// Declares the event types of a format: the enum, its names in the configuration, and the way from a
/// name to the type.
macro_rules! kinds {
    ($(#[$doc:meta])* pub enum Kind { $($(#[$each:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(
            Clone,
            Copy,
            Debug,
            PartialEq,
            Eq,
            PartialOrd,
            Ord,
            serde::Deserialize,
            serde::Serialize,
            schemars::JsonSchema,
        )]
        pub enum Kind {
            $($(#[$each])* #[serde(rename = $name)] $variant,)+
        }

        impl Kind {
            /// Every kind, in the order of their names.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// Returns the type as the sender writes it; also the cause in the record and the label in
            /// metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Returns the kind with this name, if there is one.
            pub(super) fn named(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|kind| kind.as_str() == name)
            }
        }
    };
}

pub(super) use kinds;
