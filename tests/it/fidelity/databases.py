"""Database instances, their snapshots, tags and logs."""

from sides import pages


def databases(side):
    def call(case, operation, **given):
        return side.call(case, "rds", operation, **given)

    instance = call("by name", "DescribeDBInstances", DBInstanceIdentifier="shop-db")["DBInstances"][0][
        "DBInstanceArn"
    ]
    call("by filter", "DescribeDBInstances", Filters=[{"Name": "db-instance-id", "Values": ["shop-db"]}])
    call("by a wrong filter", "DescribeDBInstances", Filters=[{"Name": "colour", "Values": ["red"]}])
    call("none", "DescribeDBInstances", DBInstanceIdentifier="none")
    tags = [{"Key": "k", "Value": "v"}]
    snapshot = {"DBInstanceIdentifier": "shop-db", "DBSnapshotIdentifier": "Before-1"}
    call("a new one", "CreateDBSnapshot", **snapshot, Tags=tags)
    side.jump("30m")
    call("a name that is taken", "CreateDBSnapshot", **snapshot)
    call("of none", "CreateDBSnapshot", DBInstanceIdentifier="none", DBSnapshotIdentifier="before-2")
    call(
        "a name that is not valid",
        "CreateDBSnapshot",
        DBInstanceIdentifier="shop-db",
        DBSnapshotIdentifier="1--a",
    )
    found = call("by name", "DescribeDBSnapshots", DBSnapshotIdentifier="before-1")["DBSnapshots"]
    call("of an instance", "DescribeDBSnapshots", DBInstanceIdentifier="shop-db", SnapshotType="manual")
    call("of an instance without any", "DescribeDBSnapshots", DBInstanceIdentifier="none")
    call("none", "DescribeDBSnapshots", DBSnapshotIdentifier="none")
    for number in range(20):
        call(
            f"number {number}",
            "CreateDBSnapshot",
            DBInstanceIdentifier="shop-db",
            DBSnapshotIdentifier=f"more-{number:02}",
        )
        side.jump("30m")
    pages(
        side,
        "manual ones",
        "rds",
        "DescribeDBSnapshots",
        "Marker",
        "Marker",
        SnapshotType="manual",
        MaxRecords=20,
    )
    call("pages of one", "DescribeDBSnapshots", MaxRecords=1)
    call("of a snapshot", "ListTagsForResource", ResourceName=found[0]["DBSnapshotArn"])
    call("of an instance", "AddTagsToResource", ResourceName=instance, Tags=tags)
    call("of an instance", "ListTagsForResource", ResourceName=instance)
    call("of an instance", "RemoveTagsFromResource", ResourceName=instance, TagKeys=["k", "none"])
    gone = instance.replace("shop-db", "none")
    call("of none", "AddTagsToResource", ResourceName=gone, Tags=tags)
    call("of none", "ListTagsForResource", ResourceName=gone)
    call("of none", "RemoveTagsFromResource", ResourceName=gone, TagKeys=["k"])
    restore = {"DBInstanceIdentifier": "copy", "DBSnapshotIdentifier": "before-1"}
    call("a new one", "RestoreDBInstanceFromDBSnapshot", **restore)
    side.jump("30m")
    call("a name that is taken", "RestoreDBInstanceFromDBSnapshot", **restore)
    call(
        "of no snapshot",
        "RestoreDBInstanceFromDBSnapshot",
        DBInstanceIdentifier="copy-2",
        DBSnapshotIdentifier="none",
    )
    call("all", "DescribeDBInstances")
    call("one", "DeleteDBSnapshot", DBSnapshotIdentifier="before-1")
    call("none", "DeleteDBSnapshot", DBSnapshotIdentifier="none")
    call("none there", "DescribeBlueGreenDeployments")
    call("of an instance", "DescribeDBLogFiles", DBInstanceIdentifier="shop-db")
    call("of none", "DescribeDBLogFiles", DBInstanceIdentifier="none")
