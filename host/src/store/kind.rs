//! What follows from a failure: the table of docs/rules.md, "Kinds of failure".
//!
//! A failure is permanent only if the service says explicitly that the item or the value is at fault. Giving up wrongly
//! loses data; trying again wrongly only delays it.

use Kind::{Permanent, Setup, Transient, Undecided};
use Remedy::{Bucket, Clock, Credentials, Encryption, Keys, Quota, Request, Rights, Table};

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is transient: trying again helps.
    Transient,
    /// The set-up is wrong: trying again helps once somebody has put this right.
    Setup(Remedy),
    /// The item or the value itself is at fault: the service will never take this write.
    Permanent,
    /// The service calls the request invalid without saying why. What it says to other writes of the same kind tells the
    /// item's fault from the set-up's.
    Undecided,
}

/// What is to be put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy {
    /// The table's name, or where it is looked for.
    Table,
    /// The table's primary key.
    Keys,
    /// What the caller may do.
    Rights,
    /// Who the caller is.
    Credentials,
    /// The caller's clock.
    Clock,
    /// A key of KMS, or the right to use it.
    Encryption,
    /// The bucket's name, or where it is looked for.
    Bucket,
    /// There is no bucket.
    NoBucket,
    /// A quota of the account or of the bucket.
    Quota,
    /// Something that makes the service refuse requests of this kind.
    Request,
}

/// Kinds by the error's code, without `Exception` or `Error` at its end, in small letters.
const CODES: [(&str, Kind); 45] = [
    ("bandwidthlimitexceeded", Transient),
    ("baddigest", Transient),
    ("conditionalrequestconflict", Transient),
    ("incompletebody", Transient),
    ("internal", Transient),
    ("internalfailure", Transient),
    ("internalserver", Transient),
    ("limitexceeded", Transient),
    ("operationaborted", Transient),
    ("provisionedthroughputexceeded", Transient),
    ("replicatedwriteconflict", Transient),
    ("requestlimitexceeded", Transient),
    ("requesttimeout", Transient),
    ("serviceunavailable", Transient),
    ("slowdown", Transient),
    ("toomanyrequests", Transient),
    ("transactionconflict", Transient),
    ("transactioninprogress", Transient),
    ("accessdenied", Setup(Rights)),
    ("notauthorized", Setup(Rights)),
    ("resourcenotfound", Setup(Table)),
    ("tablenotfound", Setup(Table)),
    ("expiredtoken", Setup(Credentials)),
    ("incompletesignature", Setup(Credentials)),
    ("invalidaccesskeyid", Setup(Credentials)),
    ("invalidclienttokenid", Setup(Credentials)),
    ("invalidsignature", Setup(Credentials)),
    ("invalidtoken", Setup(Credentials)),
    ("missingauthenticationtoken", Setup(Credentials)),
    ("signaturedoesnotmatch", Setup(Credentials)),
    ("unrecognizedclient", Setup(Credentials)),
    ("requestexpired", Setup(Clock)),
    ("requesttimetooskewed", Setup(Clock)),
    ("authorizationheadermalformed", Setup(Bucket)),
    ("illegallocationconstraint", Setup(Bucket)),
    ("invalidbucketname", Setup(Bucket)),
    ("nosuchbucket", Setup(Bucket)),
    ("permanentredirect", Setup(Bucket)),
    ("quotaexceeded", Setup(Quota)),
    ("invalidargument", Setup(Request)),
    ("invalidrequest", Setup(Request)),
    ("entitytoolarge", Permanent),
    ("itemcollectionsizelimitexceeded", Permanent),
    ("keytoolong", Permanent),
    ("metadatatoolarge", Permanent),
];

/// Kinds of what DynamoDB calls invalid, by fragments of the message in small letters; the first that is found counts.
/// The wording is that of DynamoDB, and of compatible servers where theirs differs.
const INVALID: [(&str, Kind); 25] = [
    // Before the key of the table, which is worded alike.
    ("type mismatch for index key", Permanent),
    ("secondary index key", Permanent),
    ("does not match the schema", Setup(Keys)),
    ("missing the key", Setup(Keys)),
    ("type mismatch for key", Setup(Keys)),
    ("number of conditions on the keys", Setup(Keys)),
    ("tablename", Setup(Table)),
    ("table name", Setup(Table)),
    ("table/index name", Setup(Table)),
    ("does not have the specified index", Setup(Table)),
    // An item, or an expression.
    ("exceeded the maximum allowed size", Permanent),
    // A stored operand.
    ("incorrect data type", Permanent),
    ("number overflow", Permanent),
    ("number underflow", Permanent),
    ("significant digits", Permanent),
    ("cannot be converted to a numeric value", Permanent),
    ("empty string value", Permanent),
    ("empty binary value", Permanent),
    ("exceeded the maximum size limit", Permanent),
    ("exceeded the size limit", Permanent),
    ("size limit exceeded", Permanent),
    ("nesting levels", Permanent),
    ("too many operators", Permanent),
    ("kms", Setup(Encryption)),
    ("encryption", Setup(Encryption)),
];

impl Kind {
    /// What follows from a service's answer.
    pub(crate) fn of(code: &str, message: &str, status: u16) -> Self {
        let (code, message) = (code.to_ascii_lowercase(), message.to_ascii_lowercase());
        let code = code.trim_end_matches("exception").trim_end_matches("error");
        if status >= 500 || code.contains("throttl") {
            return Transient;
        }
        if code == "validation" {
            let named = INVALID.iter().find(|(text, _)| message.contains(text));
            return named.map_or(Undecided, |(_, kind)| *kind);
        }
        if code.contains("kms") || message.contains("kms") || message.contains("encrypt") {
            return Setup(Encryption);
        }
        let named = CODES.iter().find(|(name, _)| *name == code);
        match named {
            Some((_, kind)) => *kind,
            // An answer without a code is not the service's: a proxy's page, say.
            None if code.is_empty() || !(400..500).contains(&status) => Transient,
            None => Setup(Request),
        }
    }

    /// Which kind decides where several failures come together.
    fn rank(self) -> u8 {
        match self {
            Setup(_) => 3,
            Undecided => 2,
            Permanent => 1,
            Transient => 0,
        }
    }

    /// The kind of failures that come together, as the reasons of a transaction: set-up before permanent before
    /// transient.
    pub(super) fn first(kinds: impl Iterator<Item = Self>) -> Self {
        kinds.max_by_key(|kind| kind.rank()).unwrap_or(Transient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_table_has_its_kind() {
        for (status, code, kind) in [
            (400, "ThrottlingException", Transient),
            (400, "KMS.ThrottlingException", Transient),
            (400, "ProvisionedThroughputExceededException", Transient),
            (400, "RequestLimitExceeded", Transient),
            (400, "LimitExceededException", Transient),
            (500, "InternalServerError", Transient),
            (503, "SlowDown", Transient),
            (400, "RequestTimeout", Transient),
            (409, "OperationAborted", Transient),
            (409, "ConditionalRequestConflict", Transient),
            (400, "BadDigest", Transient),
            (400, "IncompleteBody", Transient),
            (400, "TransactionConflictException", Transient),
            (400, "TransactionInProgressException", Transient),
            (400, "ReplicatedWriteConflictException", Transient),
            (502, "", Transient),
            (403, "", Transient),
            (400, "ResourceNotFoundException", Setup(Table)),
            (400, "AccessDeniedException", Setup(Rights)),
            (403, "AccessDenied", Setup(Rights)),
            (400, "UnrecognizedClientException", Setup(Credentials)),
            (400, "ExpiredTokenException", Setup(Credentials)),
            (403, "InvalidSignatureException", Setup(Credentials)),
            (
                403,
                "MissingAuthenticationTokenException",
                Setup(Credentials),
            ),
            (403, "InvalidAccessKeyId", Setup(Credentials)),
            (403, "SignatureDoesNotMatch", Setup(Credentials)),
            (403, "RequestTimeTooSkewed", Setup(Clock)),
            (400, "KMSInvalidStateException", Setup(Encryption)),
            (400, "KMS.DisabledException", Setup(Encryption)),
            (404, "NoSuchBucket", Setup(Bucket)),
            (400, "InvalidBucketName", Setup(Bucket)),
            (301, "PermanentRedirect", Setup(Bucket)),
            (400, "AuthorizationHeaderMalformed", Setup(Bucket)),
            (400, "InvalidRequest", Setup(Request)),
            (400, "InvalidArgument", Setup(Request)),
            (403, "QuotaExceeded", Setup(Quota)),
            (418, "IAmATeapot", Setup(Request)),
            (400, "EntityTooLarge", Permanent),
            (400, "KeyTooLongError", Permanent),
            (400, "MetadataTooLarge", Permanent),
            (400, "ItemCollectionSizeLimitExceededException", Permanent),
        ] {
            assert_eq!(Kind::of(code, "", status), kind, "{status} {code}");
        }
    }

    #[test]
    fn rights_that_lack_for_a_key_are_told_from_others() {
        let message = "User: x is not authorized to perform: kms:GenerateDataKey on resource: y";
        assert_eq!(Kind::of("AccessDenied", message, 403), Setup(Encryption));
    }

    /// What DynamoDB and compatible servers say, and what follows.
    const MESSAGES: [(&str, Kind); 19] = [
        (
            "The provided key element does not match the schema",
            Setup(Keys),
        ),
        (
            "One or more parameter values were invalid: Missing the key pk in the item",
            Setup(Keys),
        ),
        (
            "One or more parameter values were invalid: Type mismatch for key SK expected: N actual: S",
            Setup(Keys),
        ),
        (
            "1 validation error detected: Value 'a b' at 'tableName' failed to satisfy constraint",
            Setup(Table),
        ),
        (
            "TableName must be at least 3 characters long and at most 255 characters long",
            Setup(Table),
        ),
        (
            "Item size to update has exceeded the maximum allowed size",
            Permanent,
        ),
        ("ITEM SIZE HAS EXCEEDED THE MAXIMUM ALLOWED SIZE", Permanent),
        (
            "Invalid UpdateExpression: Expression size has exceeded the maximum allowed size;",
            Permanent,
        ),
        (
            "An operand in the update expression has an incorrect data type",
            Permanent,
        ),
        (
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
            Permanent,
        ),
        (
            "Attempting to store more than 38 significant digits in a Number",
            Permanent,
        ),
        (
            "The parameter cannot be converted to a numeric value: x",
            Permanent,
        ),
        (
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: PK",
            Permanent,
        ),
        (
            "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes",
            Permanent,
        ),
        (
            "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of 1024 bytes",
            Permanent,
        ),
        (
            "One or more parameter values were invalid: Size limit exceeded for Index Key GSI2PK Actual Size: 2175 bytes",
            Permanent,
        ),
        (
            "Nesting Levels have exceeded supported limits: Attributes in the item",
            Permanent,
        ),
        (
            "One or more parameter values were invalid: Type mismatch for Index Key GSI2PK Expected: S Actual: N IndexName: GSI2",
            Permanent,
        ),
        ("anything else", Undecided),
    ];

    #[test]
    fn what_is_called_invalid_is_judged_by_its_message_in_any_case() {
        for (message, kind) in MESSAGES {
            assert_eq!(
                Kind::of("ValidationException", message, 400),
                kind,
                "{message}"
            );
        }
    }

    #[test]
    fn of_several_kinds_the_set_up_s_comes_before_permanent_before_transient() {
        let all = [Transient, Permanent, Setup(Keys), Transient];
        assert_eq!(Kind::first(all.into_iter()), Setup(Keys));
        assert_eq!(Kind::first([Transient, Permanent].into_iter()), Permanent);
        assert_eq!(Kind::first([].into_iter()), Transient);
    }
}
