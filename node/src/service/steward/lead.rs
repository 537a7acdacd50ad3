//! Who leads: leaders stay spread.

use super::Steward;
use crate::raft::Group;
use crate::service::limits::BALANCE_LAG_MAX;

impl Steward {
    /// Hands the lead to the replica that was placed first, once it has kept up for two looks.
    pub(super) async fn balance(&mut self, group: &Group) {
        let preferred = {
            let view = self.service.view().read();
            view.group(directory::GroupId(group.id().0))
                .map(|placed| placed.first.0)
        };
        let Some(preferred) = preferred.filter(|first| *first != group.replica()) else {
            self.settled.remove(&group.id());
            return;
        };
        let status = group.status();
        let fit = status.matched.iter().any(|(replica, matched)| {
            *replica == preferred
                && status.voters.contains(replica)
                && matched.is_some_and(|upto| upto + BALANCE_LAG_MAX >= status.last_index)
        });
        let looks = self.settled.entry(group.id()).or_insert(0);
        *looks = if fit { *looks + 1 } else { 0 };
        if *looks >= 2 {
            self.settled.remove(&group.id());
            if let Err(error) = group.transfer(preferred).await {
                tracing::debug!(group = group.id().0, %error, "transfer");
            }
        }
    }
}
