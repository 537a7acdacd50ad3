//! ACL, LISTRIGHTS and MYRIGHTS (RFC 4314 sections 3.6 to 3.8).

use super::{Writer, string};

impl Writer {
    /// ACL: identifiers and their rights on a mailbox, its name in UTF-8.
    pub fn acl(&mut self, mailbox: &str, grants: &[(String, String)]) {
        self.put("* ACL ");
        self.put_mailbox(mailbox);
        for (identifier, rights) in grants {
            for word in [identifier, rights] {
                self.put(" ");
                string::astring(&mut self.out, word.as_bytes());
            }
        }
        self.end_line();
    }

    /// LISTRIGHTS: what an identifier always has on a mailbox, then what may be given to it.
    pub fn list_rights(&mut self, mailbox: &str, identifier: &[u8], rights: &[String]) {
        self.put("* LISTRIGHTS ");
        self.put_mailbox(mailbox);
        self.put(" ");
        string::astring(&mut self.out, identifier);
        for word in rights {
            self.put(" ");
            string::astring(&mut self.out, word.as_bytes());
        }
        self.end_line();
    }

    /// MYRIGHTS: what the user may do with a mailbox.
    pub fn my_rights(&mut self, mailbox: &str, rights: &str) {
        self.put("* MYRIGHTS ");
        self.put_mailbox(mailbox);
        self.put(" ");
        string::astring(&mut self.out, rights.as_bytes());
        self.end_line();
    }
}
