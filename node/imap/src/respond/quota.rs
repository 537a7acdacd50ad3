//! QUOTA and QUOTAROOT (RFC 9208 sections 4.2.1 and 4.2.2).

use super::{Writer, string};

/// How much is used of something that has a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its name (RFC 9208 section 5).
    pub name: &'static str,
    /// How much is used, in its unit.
    pub usage: u64,
    /// How much may be used.
    pub limit: u64,
}

impl Writer {
    /// QUOTA: what is used under a quota root.
    pub fn quota(&mut self, root: &str, resources: &[Resource]) {
        self.put("* QUOTA ");
        string::astring(&mut self.out, root.as_bytes());
        self.put(" (");
        for (at, resource) in resources.iter().enumerate() {
            self.put(if at > 0 { " " } else { "" });
            self.put(resource.name);
            for number in [resource.usage, resource.limit] {
                self.put(" ");
                self.put_number(number);
            }
        }
        self.put(")");
        self.end_line();
    }

    /// QUOTAROOT: the quota roots of a mailbox, its name in UTF-8.
    pub fn quota_root(&mut self, mailbox: &str, roots: &[&str]) {
        self.put("* QUOTAROOT ");
        self.put_mailbox(mailbox);
        for root in roots {
            self.put(" ");
            string::astring(&mut self.out, root.as_bytes());
        }
        self.end_line();
    }
}
