//! The stream's settings: the right ones, and what is wrong with others.

use async_nats::jetstream::stream::{
    Config as StreamConfig, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType,
};

use super::config::Config;

pub(super) fn wanted(config: &Config) -> StreamConfig {
    StreamConfig {
        name: config.stream.clone(),
        description: Some("Portcullis: tokens that are no longer good".to_owned()),
        subjects: vec![format!("{}.>", config.subject_prefix)],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: config.replicas,
        discard: DiscardPolicy::New,
        max_bytes: config
            .max_bytes
            .map_or(-1, |room| i64::try_from(room.0).unwrap_or(i64::MAX)),
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        allow_message_ttl: true,
        deny_delete: true,
        deny_purge: true,
        ..StreamConfig::default()
    }
}

/// Returns every way in which the stream could lose an acknowledged revocation, each with the fix.
pub(super) fn weaknesses(found: &StreamConfig, config: &Config) -> Vec<String> {
    let replicas = config.replicas;
    let checks = [
        (
            found.storage != StorageType::File,
            "it is kept in memory: make it again with --storage file".to_owned(),
        ),
        (
            found.num_replicas < replicas,
            format!(
                "it has {} copies instead of {replicas}: set --replicas {replicas}",
                found.num_replicas
            ),
        ),
        (
            found.discard != DiscardPolicy::New,
            "it drops old messages when it is full: set --discard new".to_owned(),
        ),
        (
            !found.max_age.is_zero(),
            "it drops messages by age: set --max-age 0; revocations bring their own time to live"
                .to_owned(),
        ),
        (
            found.max_messages_per_subject > 0,
            "it drops old messages of a subject: set --max-msgs-per-subject -1".to_owned(),
        ),
        (
            found.retention != RetentionPolicy::Limits,
            "it drops messages once they were read: make it again with --retention limits"
                .to_owned(),
        ),
        (
            found.persist_mode == Some(PersistenceMode::Async),
            "it acknowledges before it writes: make it again with --persist-mode default"
                .to_owned(),
        ),
        (
            found.no_ack,
            "it acknowledges nothing: set --ack".to_owned(),
        ),
        (
            !found.deny_purge || !found.deny_delete || found.allow_rollup,
            "messages can be purged, deleted or rolled up: set --deny-purge --deny-delete \
             --no-allow-rollup"
                .to_owned(),
        ),
        (
            !found.allow_message_ttl,
            "messages cannot have a time to live: set --allow-msg-ttl".to_owned(),
        ),
    ];
    let weak = checks.into_iter().filter(|(weak, _)| *weak);
    weak.map(|(_, fix)| fix).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn config() -> Config {
        Config::on(&["nats-1.example.com".to_owned()])
    }

    #[test]
    fn a_stream_that_we_create_is_durable_enough() {
        assert_eq!(
            weaknesses(&wanted(&config()), &config()),
            Vec::<String>::new()
        );
    }

    #[test]
    fn every_weaker_setting_is_seen() {
        let weaken: [fn(&mut StreamConfig); 11] = [
            |stream| stream.storage = StorageType::Memory,
            |stream| stream.num_replicas = 2,
            |stream| stream.discard = DiscardPolicy::Old,
            |stream| stream.max_age = Duration::from_secs(1),
            |stream| stream.max_messages_per_subject = 1,
            |stream| stream.retention = RetentionPolicy::WorkQueue,
            |stream| stream.persist_mode = Some(PersistenceMode::Async),
            |stream| stream.no_ack = true,
            |stream| stream.deny_purge = false,
            |stream| stream.allow_rollup = true,
            |stream| stream.allow_message_ttl = false,
        ];
        for (number, weaken) in weaken.iter().enumerate() {
            let mut stream = wanted(&config());
            weaken(&mut stream);
            assert_eq!(weaknesses(&stream, &config()).len(), 1, "number {number}");
        }
    }
}
