"""Brokers of a run's own, because faults kill and freeze them."""

import base64
import json
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request

import confluent_kafka
import confluent_kafka.admin
import pika
from processes import ROOT, RUN, Process, free_port, run
from proxy import Proxy, wait_until

LIBS = ROOT / ".run" / "kafka-libs"
JAVA = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{LIBS}/*", f"-Dlog4j2.configurationFile={ROOT}/tests/brokers/log4j2.properties"]
CLUSTER = "hooksluiceTestCluster"

COMMON = """\
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
offsets.topic.replication.factor=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
super.users=User:ANONYMOUS
sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
replica.lag.time.max.ms=3000
"""


class Kafka:
    """One broker, or three of which the first is the controller. `proxied` listens behind a TCP proxy, `sasl` asks for
    `gw`/`secret`, whose rights can be taken away; `plain` may always."""

    def __init__(self, nodes=1):
        self.nodes = nodes
        self.dir = RUN / f"kafka-{nodes}"
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True)
        controller = free_port()
        self.ports = [{name: free_port() for name in ("plain", "proxied", "sasl")} for _ in range(nodes)]
        self.proxy_port = free_port()
        self.processes = [None] * nodes
        for n in range(nodes):
            ports = self.ports[n]
            listeners = f"PLAINTEXT://127.0.0.1:{ports['plain']},PROXIED://127.0.0.1:{ports['proxied']},SASL_PLAINTEXT://127.0.0.1:{ports['sasl']}"
            advertised = listeners.replace(f":{ports['proxied']}", f":{self.proxy_port}")
            first = n == 0
            self._properties(n).write_text(
                COMMON
                + f"node.id={n + 1}\nprocess.roles={'broker,controller' if first else 'broker'}\n"
                + f"controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n"
                + f"listeners={listeners}{f',CONTROLLER://127.0.0.1:{controller}' if first else ''}\n"
                + f"advertised.listeners={advertised}\nlog.dirs={self.dir}/data-{n}\n"
            )
            how = ["--standalone", "--add-scram", "SCRAM-SHA-256=[name=gw,password=secret]"] if first else ["--no-initial-controllers"]
            run("java", "-Xmx128m", *JAVA, "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", self._properties(n), *how)
        for n in range(nodes):
            self.start(n, wait=False)
        self.proxy = Proxy(self.proxy_port, ("127.0.0.1", self.ports[0]["proxied"]))
        self.admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": self.bootstrap(), "socket.timeout.ms": 3000, "log_level": 0})
        wait_until("Kafka answers", lambda: len(self.admin.list_topics(timeout=2).brokers) == nodes, 120)

    def _properties(self, n):
        return self.dir / f"server-{n}.properties"

    def bootstrap(self, listener="plain"):
        if listener == "proxied":
            return f"127.0.0.1:{self.proxy_port}"
        return ",".join(f"127.0.0.1:{ports[listener]}" for ports in self.ports)

    def start(self, n=0, wait=True):
        heap = "-Xmx256m" if self.nodes > 1 else "-Xmx384m"
        self.processes[n] = Process(
            f"kafka-{n}", ["java", heap, *JAVA, "kafka.Kafka", self._properties(n)], self.dir / f"kafka-{n}.log"
        )
        if wait:
            self.answers()

    def answers(self, topic=None, timeout=90):
        """Waits until the broker answers, and leads the topic's partitions."""

        def holds():
            metadata = self.admin.list_topics(timeout=1)
            if topic is None:
                return bool(metadata.brokers)
            partitions = metadata.topics[topic].partitions.values()
            return partitions and all(partition.leader >= 0 and partition.error is None for partition in partitions)

        wait_until("Kafka answers", holds, timeout)

    def create(self, topic, partitions=3, replicas=1, **config):
        new = confluent_kafka.admin.NewTopic(topic, partitions, replicas, config=config)
        for done in self.admin.create_topics([new]).values():
            done.result(20)
        self.answers(topic)

    def delete(self, topic):
        for done in self.admin.delete_topics([topic]).values():
            done.result(20)

    def write_allowed(self, topic, allowed):
        """Takes the right to write from `gw`, or gives it back."""
        admin = confluent_kafka.admin
        rule = admin.AclBinding(
            admin.ResourceType.TOPIC, topic, admin.ResourcePatternType.LITERAL, "User:gw", "*",
            admin.AclOperation.WRITE, admin.AclPermissionType.DENY,
        )  # fmt: skip
        if allowed:
            rule = admin.AclBindingFilter(
                admin.ResourceType.TOPIC, topic, admin.ResourcePatternType.LITERAL, "User:gw", "*",
                admin.AclOperation.WRITE, admin.AclPermissionType.DENY,
            )  # fmt: skip
            dones = self.admin.delete_acls([rule])
        else:
            dones = self.admin.create_acls([rule])
        for done in dones.values():
            done.result(20)


class RabbitMq:
    def __init__(self):
        self.dir = RUN / "rabbitmq"
        shutil.rmtree(self.dir, ignore_errors=True)
        (self.dir / "home").mkdir(parents=True)
        self.amqp, self.api_port, self.dist, self.epmd, self.proxy_port = (free_port() for _ in range(5))
        (self.dir / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.amqp}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.api_port}\n"
            "loopback_users = none\nlog.console = true\nlog.file = false\n"
        )
        (self.dir / "plugins").write_text("[rabbitmq_management].")
        (self.dir / "env.conf").touch()
        self.node = f"faults-{os.getpid()}@localhost"
        self.env = {
            "HOME": str(self.dir / "home"),
            "ERL_EPMD_PORT": str(self.epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.amqp),
            "RABBITMQ_DIST_PORT": str(self.dist),
            "RABBITMQ_CONF_ENV_FILE": str(self.dir / "env.conf"),
            "RABBITMQ_CONFIG_FILE": str(self.dir / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.dir / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.dir / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.dir / "log"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            # The server's script then becomes the server, instead of waiting beside it.
            "RUNNING_UNDER_SYSTEMD": "1",
        }
        Process("epmd", ["epmd", "-port", self.epmd, "-address", "127.0.0.1"], self.dir / "epmd.log", self.env)
        self.start()
        self.proxy = Proxy(self.proxy_port, ("127.0.0.1", self.amqp))

    def start(self):
        self.process = Process("rabbitmq", ["/usr/lib/rabbitmq/bin/rabbitmq-server"], self.dir / "rabbitmq.log", self.env)
        self.answers()

    def url(self, proxied=False, user="guest"):
        return f"amqp://{user}:{user}@127.0.0.1:{self.proxy_port if proxied else self.amqp}/%2f"

    def connect(self):
        return pika.BlockingConnection(
            pika.ConnectionParameters("127.0.0.1", self.amqp, credentials=pika.PlainCredentials("guest", "guest"), socket_timeout=5)
        )

    def answers(self, queue=None, timeout=90):
        def holds():
            connection = self.connect()
            try:
                if queue:
                    connection.channel().queue_declare(queue, passive=True)
            finally:
                connection.close()
            return True

        wait_until("RabbitMQ answers", holds, timeout, every=0.2)

    def channel(self, use):
        connection = self.connect()
        try:
            use(connection.channel())
        finally:
            connection.close()

    def topology(self, name):
        """A topic exchange, a queue with everything, and one with the fresh events only."""

        def declare(channel):
            channel.exchange_declare(name, "topic", durable=True)
            for queue, key in ((name, "#"), (f"{name}.fresh", "*.ledger.fresh")):
                # Without a length it changes nothing; a length that comes later then drops nothing.
                channel.queue_declare(queue, durable=True, arguments={"x-overflow": "reject-publish"})
                channel.queue_bind(queue, name, key)

        self.channel(declare)

    def api(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api_port}/api/{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"authorization": "Basic " + base64.b64encode(b"guest:guest").decode(), "content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read()[:200]}") from None
        return json.loads(text) if text else None

    def ctl(self, *words):
        return run("/usr/lib/rabbitmq/bin/rabbitmqctl", "-n", self.node, *words, env={**os.environ, **self.env})

    def close_connections(self, user):
        def open_ones():
            return [one for one in self.api("GET", "connections") if one.get("user") == user]

        # The management plugin learns of connections every few seconds.
        wait_until("the broker lists the connection", open_ones, 15, every=0.3)
        for one in open_ones():
            self.api("DELETE", "connections/" + urllib.parse.quote(one["name"]))

    def user(self, name, write=True):
        """A user other than the harness's own, and whether he may write."""
        self.api("PUT", f"users/{name}", {"password": name, "tags": ""})
        self.api("PUT", f"permissions/%2f/{name}", {"configure": ".*", "write": ".*" if write else "^$", "read": ".*"})
