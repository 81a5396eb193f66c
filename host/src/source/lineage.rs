//! Which shards of a stream may be read: parents before children.

use std::collections::BTreeMap;

/// A shard as the stream describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardDescription {
    /// Its ShardId.
    pub id: String,
    /// Its ParentShardId: the shard that it continues.
    pub parent: Option<String>,
}

/// Which shards of a stream may be read: a child only after its parent, so that the changes of an item are seen
/// in order across shards.
#[derive(Debug, Default)]
pub struct Lineage {
    shards: BTreeMap<String, Member>,
}

#[derive(Debug)]
struct Member {
    parent: Option<String>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Reading,
    Finished,
}

impl Lineage {
    /// Takes the whole list of the stream's shards. Those that are no longer in it are forgotten, except while
    /// they are read.
    pub fn observe(&mut self, listing: impl IntoIterator<Item = ShardDescription>) {
        let mut listing: BTreeMap<_, _> = listing
            .into_iter()
            .map(|shard| (shard.id, shard.parent))
            .collect();
        self.shards
            .retain(|id, member| member.stage == Stage::Reading || listing.contains_key(id));
        for (id, member) in &mut self.shards {
            if let Some(parent) = listing.remove(id) {
                member.parent = parent;
            }
        }
        let new = listing.into_iter().map(|(id, parent)| {
            (
                id,
                Member {
                    parent,
                    stage: Stage::Waiting,
                },
            )
        });
        self.shards.extend(new);
    }

    /// The shards that may be read from now on: their parent is finished, or there is none, or it is gone from
    /// the stream. Each is named once.
    pub fn start_ready(&mut self) -> Vec<String> {
        let may_start = |member: &Member| {
            let parent = member
                .parent
                .as_ref()
                .and_then(|parent| self.shards.get(parent));
            member.stage == Stage::Waiting
                && parent.is_none_or(|parent| parent.stage == Stage::Finished)
        };
        let ready: Vec<String> = self
            .shards
            .iter()
            .filter(|(_, member)| may_start(member))
            .map(|(id, _)| id.clone())
            .collect();
        for id in &ready {
            if let Some(member) = self.shards.get_mut(id) {
                member.stage = Stage::Reading;
            }
        }
        ready
    }

    /// Says that all of a shard is dealt with, now or in an earlier run.
    pub fn finish(&mut self, id: &str) {
        let member = self.shards.entry(id.to_owned()).or_insert(Member {
            parent: None,
            stage: Stage::Waiting,
        });
        member.stage = Stage::Finished;
    }

    /// Whether a shard is known.
    pub fn knows(&self, id: &str) -> bool {
        self.shards.contains_key(id)
    }

    /// Whether all known shards are finished.
    pub fn is_finished(&self) -> bool {
        self.shards
            .values()
            .all(|member| member.stage == Stage::Finished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_read_after_its_parent() {
        let shard = |id: &str, parent: Option<&str>| ShardDescription {
            id: id.to_owned(),
            parent: parent.map(str::to_owned),
        };
        let mut lineage = Lineage::default();
        lineage.finish("done before");
        lineage.observe([
            shard("root", Some("trimmed long ago")),
            shard("left", Some("root")),
            shard("right", Some("root")),
            shard("done before", None),
            shard("heir", Some("done before")),
        ]);
        assert_eq!(lineage.start_ready(), ["heir", "root"]);
        assert!(lineage.start_ready().is_empty());

        // A shard that is trimmed while it is read still holds back its children.
        lineage.observe([shard("left", Some("root")), shard("right", Some("root"))]);
        assert!(lineage.start_ready().is_empty());
        assert!(!lineage.knows("done before"));
        lineage.finish("root");
        assert_eq!(lineage.start_ready(), ["left", "right"]);

        for id in ["left", "right"] {
            lineage.finish(id);
        }
        assert!(!lineage.is_finished());
        lineage.finish("heir");
        assert!(lineage.is_finished());
    }
}
