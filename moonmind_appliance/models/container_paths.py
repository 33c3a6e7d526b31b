"""Paths inside a run's containers; job_image/README.md is their contract."""

# The agent container and the git container: the workspace volume.
WORKSPACES = "/work/runs"

# The agent container, and the containers for logins.
AGENT_HOME = "/work/codex-home"
LOGIN_FOLDER = f"{AGENT_HOME}/.codex"
AGENT_CA_FILE = f"{WORKSPACES}/extra-ca.pem"
# The login that only the run's login broker accepts, until the first turn has moved it into Codex's folder.
BROKERED_LOGIN_FILE = f"{WORKSPACES}/brokered-login.json"
LOGIN_CA_FILE = f"{LOGIN_FOLDER}/extra-ca.pem"
API_KEY_FILE = f"{LOGIN_FOLDER}/api-key"

# The git container's own folder: bare clone, HOME and CA file.
GIT_FOLDER = "/work/git"
GIT_CA_FILE = f"{GIT_FOLDER}/extra-ca.pem"
# The repository's cache, only in the git container. An empty volume takes the owner of its mount point, and the image
# has no other folder of user 1000 that is unused there.
CACHE_FOLDER = AGENT_HOME
# The files that Spec Kit adds to a repository without it.
SCAFFOLD = "/opt/spec-kit/scaffold"

# The volume through which the agent container hands its listening socket to the egress container. In the agent
# container it is read-only; in the egress container the volume takes the owner of its mount point. It is
# not AGENT_HOME, which contains the login with LOGIN_BROKER.
AGENT_EGRESS_FOLDER = "/work/egress"
EGRESS_FOLDER = GIT_FOLDER
EGRESS_CA_FILE = f"{EGRESS_FOLDER}/extra-ca.pem"
# The port of the agent container's loopback interface on which the egress proxy accepts connections.
EGRESS_PORT = 3128
