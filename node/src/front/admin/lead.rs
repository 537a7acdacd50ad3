//! Who leads.

use std::time::Duration;

use directory::NodeId;
use tonic::Status;

use super::status;
use crate::front::limits::ADMIN_WAIT;
use crate::replica::GroupId;
use crate::service::{Answer, Call, DIRECTORY, Failure, Service};

/// The leader of `group` gives the lead to `to`'s replica, once that has kept up; returns when it
/// leads. What cannot lead is refused, and nothing was done.
pub(super) async fn transfer(service: &Service, group: u64, to: u64) -> Result<(), Status> {
    let replica = {
        let view = service.view().read();
        let placed = view
            .group(directory::GroupId(group))
            .ok_or_else(|| Status::not_found("no such group"))?;
        placed
            .replica_on(NodeId(to))
            .map(|replica| replica.id.0)
            .ok_or_else(|| Status::not_found("that node holds no replica of the group"))?
    };
    let deadline = tokio::time::Instant::now() + ADMIN_WAIT;
    while tokio::time::Instant::now() < deadline {
        match service
            .ask(GroupId(group), Call::Transfer(replica), ADMIN_WAIT)
            .await
        {
            Ok(Answer::Index(leader)) if leader == replica => return Ok(()),
            Ok(_) | Err(Failure::Busy(_)) => {}
            Err(failure) => return Err(status(failure)),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Status::deadline_exceeded(if group == DIRECTORY.0 {
        "the directory kept its leader: does the other replica keep up?"
    } else {
        "the partition kept its leader: does the other replica keep up?"
    }))
}
