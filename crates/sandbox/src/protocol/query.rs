//! awsQuery: a form in, XML out, as ELBv2, RDS, STS and older CloudWatch clients speak it.

use bytes::Bytes;
use quick_xml::escape::escape;

use super::{Call, Protocol, Reply, Service, respond};
use crate::node::Node;

const CONTENT: &str = "text/xml";

/// RDS names its list items after what they are; every other list item is a `member`. Source: `locationName` of the list
/// shapes in the RDS model.
const ITEM_NAMES: [(&str, &str); 15] = [
    ("DBSnapshots", "DBSnapshot"),
    ("DBInstances", "DBInstance"),
    ("TagList", "Tag"),
    ("VpcSecurityGroups", "VpcSecurityGroupMembership"),
    ("DBSecurityGroups", "DBSecurityGroup"),
    ("DBParameterGroups", "DBParameterGroup"),
    ("OptionGroupMemberships", "OptionGroupMembership"),
    ("ReadReplicaDBInstanceIdentifiers", "ReadReplicaDBInstanceIdentifier"),
    ("DomainMemberships", "DomainMembership"),
    ("StatusInfos", "DBInstanceStatusInfo"),
    ("ProcessorFeatures", "ProcessorFeature"),
    ("AssociatedRoles", "DBInstanceRole"),
    ("Subnets", "Subnet"),
    ("CertificateDetails", "CertificateDetails"),
    ("DescribeDBLogFiles", "DescribeDBLogFilesDetails"),
];

/// Members that are maps, not structures: their XML is a list of entries. Source: the CloudWatch model.
const MAPS: [&str; 1] = ["ExtendedStatistics"];

/// Most parts of a key: clients send nine at most. Trees are walked by recursion.
const DEEPEST: usize = 32;

pub(super) fn read(body: &[u8]) -> Result<Call, Box<http::Response<Bytes>>> {
    let fail = |message: &str| {
        respond(400, CONTENT, "unparsed", error_body("InvalidAction", message, 400, "unparsed", ""))
    };
    let mut root = Tree::default();
    for pair in body.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
        let mut halves = pair.splitn(2, |b| *b == b'=');
        let (key, value) = (halves.next().unwrap_or(&[]), halves.next().unwrap_or(&[]));
        let key = decode(key);
        if key.split('.').count() > DEEPEST {
            return Err(Box::new(fail("a key is nested too deeply")));
        }
        root.put(&key, decode(value));
    }
    let (Some(operation), Some(version)) = (root.value("Action"), root.value("Version")) else {
        return Err(Box::new(fail("the request names no action")));
    };
    let Some(service) = Service::by_version(&version) else {
        return Err(Box::new(fail("no service of this endpoint has that version")));
    };
    root.children.retain(|(key, _)| key != "Action" && key != "Version");
    Ok(Call { service, operation, input: root.into_node(), protocol: Protocol::Query })
}

/// Percent and plus decoding of `application/x-www-form-urlencoded`.
fn decode(bytes: &[u8]) -> String {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail
            .get(..2)
            .and_then(|two| std::str::from_utf8(two).ok())
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                plain.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => {
                plain.push(b' ');
                rest = tail;
            }
            (byte, _) => {
                plain.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// The dotted keys of a form as a tree: `Filters.Filter.1.Name` and `Actions.member.1.Type`.
#[derive(Default)]
struct Tree {
    value: Option<String>,
    children: Vec<(String, Tree)>,
}

impl Tree {
    fn put(&mut self, key: &str, value: String) {
        let (head, tail) = key.split_once('.').map_or((key, None), |(head, tail)| (head, Some(tail)));
        let position = self.children.iter().position(|(k, _)| k == head).unwrap_or_else(|| {
            self.children.push((head.to_owned(), Self::default()));
            self.children.len() - 1
        });
        let child = &mut self.children[position].1;
        match tail {
            Some(tail) => child.put(tail, value),
            None => child.value = Some(value),
        }
    }

    fn value(&self, key: &str) -> Option<String> {
        self.children.iter().find(|(k, _)| k == key).and_then(|(_, tree)| tree.value.clone())
    }

    fn is_numbered(&self) -> bool {
        !self.children.is_empty() && self.children.iter().all(|(key, _)| key.parse::<u32>().is_ok())
    }

    /// A list is numbered children, or one child (the item's name) with numbered children.
    fn into_node(mut self) -> Node {
        if self.children.is_empty() {
            return self.value.map_or(Node::Null, Node::Text);
        }
        if let [(_, only)] = self.children.as_slice()
            && only.is_numbered()
            && let Some((_, only)) = self.children.pop()
        {
            return only.into_list();
        }
        if self.is_numbered() {
            return self.into_list();
        }
        Node::Map(self.children.into_iter().map(|(key, tree)| (key, tree.into_node())).collect())
    }

    fn into_list(mut self) -> Node {
        self.children.sort_by_key(|(key, _)| key.parse::<u32>().unwrap_or(u32::MAX));
        Node::List(self.children.into_iter().map(|(_, tree)| tree.into_node()).collect())
    }
}

pub(super) fn write(call: &Call, reply: Reply) -> http::Response<Bytes> {
    let (operation, id) = (&call.operation, &reply.request_id);
    let namespace = namespace(call.service);
    match reply.result {
        Ok(output) => {
            let mut xml = format!("<{operation}Response xmlns=\"{namespace}\"><{operation}Result>");
            for (key, value) in output.members() {
                element(&mut xml, key, value);
            }
            xml.push_str(&format!("</{operation}Result><ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{operation}Response>"));
            respond(200, CONTENT, id, xml)
        }
        Err(error) => {
            let code = if error.is_malformed() && call.service != Service::CloudWatch {
                "ValidationError"
            } else {
                &error.code
            };
            respond(error.status, CONTENT, id, error_body(code, &error.message, error.status, id, &namespace))
        }
    }
}

fn namespace(service: Service) -> String {
    let host = match service {
        Service::CloudWatch => "monitoring",
        Service::Ssm
        | Service::Sts
        | Service::SecretsManager
        | Service::Ecs
        | Service::CodeDeploy
        | Service::Elb
        | Service::Rds => service.name(),
    };
    let scheme = if service == Service::Sts { "https" } else { "http" };
    format!("{scheme}://{host}.amazonaws.com/doc/{}/", service.query_version().unwrap_or_default())
}

fn error_body(code: &str, message: &str, status: u16, id: &str, namespace: &str) -> String {
    let fault = if status >= 500 { "Receiver" } else { "Sender" };
    format!(
        "<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{fault}</Type><Code>{}</Code><Message>{}</Message></Error><RequestId>{id}</RequestId></ErrorResponse>",
        escape(code),
        escape(message)
    )
}

fn element(xml: &mut String, name: &str, node: &Node) {
    if *node == Node::Null {
        return;
    }
    xml.push_str(&format!("<{name}>"));
    match node {
        Node::Null => {}
        Node::Bool(value) => xml.push_str(&value.to_string()),
        Node::Int(number) => xml.push_str(&number.to_string()),
        Node::Float(number) => xml.push_str(&number.to_string()),
        Node::Text(text) => xml.push_str(&escape(text.as_str())),
        Node::Time(time) => xml.push_str(&time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()),
        Node::Blob(bytes) => xml.push_str(&hex::encode(bytes)),
        Node::List(items) => {
            let item = ITEM_NAMES.iter().find(|(list, _)| *list == name).map_or("member", |(_, item)| item);
            for value in items {
                element(xml, item, value);
            }
        }
        Node::Map(members) if MAPS.contains(&name) => {
            for (key, value) in members {
                xml.push_str("<entry>");
                element(xml, "key", &Node::from(key));
                element(xml, "value", value);
                xml.push_str("</entry>");
            }
        }
        Node::Map(members) => {
            for (key, value) in members {
                element(xml, key, value);
            }
        }
    }
    xml.push_str(&format!("</{name}>"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_keys_become_lists_and_structures() {
        let body = b"Action=ModifyListener&Version=2015-12-01&ListenerArn=a%2Fb&DefaultActions.member.1.Type=forward&DefaultActions.member.1.ForwardConfig.TargetGroups.member.1.Weight=90&DefaultActions.member.1.ForwardConfig.TargetGroups.member.2.Weight=10";
        let call = read(body).unwrap();
        assert_eq!((call.service, call.operation.as_str()), (Service::Elb, "ModifyListener"));
        let actions = call.input.items("DefaultActions").unwrap();
        let groups = actions[0].get("ForwardConfig").items("TargetGroups").unwrap();
        assert_eq!(groups[1].opt_int("Weight").unwrap(), Some(10));
        assert_eq!(call.input.text("ListenerArn").unwrap(), "a/b");
    }

    #[test]
    fn a_key_of_any_depth_is_answered() {
        let deep = format!("Action=DescribeRules&Version=2015-12-01&a{}=1", ".a".repeat(500_000));
        assert!(read(deep.as_bytes()).is_err());
    }

    #[test]
    fn rds_filters_read_as_lists() {
        let body = b"Action=DescribeDBSnapshots&Version=2014-10-31&Filters.Filter.1.Name=db-instance-id&Filters.Filter.1.Values.Value.1=a&Filters.Filter.1.Values.Value.2=b";
        let call = read(body).unwrap();
        let filters = call.input.items("Filters").unwrap();
        assert_eq!(filters[0].text_items("Values").unwrap(), ["a", "b"]);
    }
}
