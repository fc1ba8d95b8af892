"""Every word that people read, in English: what the catalogues in `ui/locale` translate, and `ui/text.py` says."""

from enum import StrEnum

from services.audit import Kind
from services.errors import Distrust, EndReason, Hint, InvalidCredentials, Outage, ProviderError
from services.snapshots import NameFault
from ui.language import N_

PRODUCT = "Proxgate"
TAGLINE = N_("Sign in with your Proxmox VE account")

# Login card
SIGN_IN = N_("Sign in")
USERNAME = N_("Username")
REALM = N_("Realm")
PASSWORD = N_("Password")
SHOW_PASSWORD = N_("Show password")
HIDE_PASSWORD = N_("Hide password")
SIGNING_IN = N_("Asking Proxmox…")
CONTINUE_WITH = N_("Continue with {label}")
GOING_THERE = N_("Going there…")
USE_TOKEN = N_("Use an API token instead")
USE_ACCOUNT = N_("Use an account instead")
TOKEN_ID = N_("Token ID")
TOKEN_ID_EXAMPLE = N_("user@realm!name")
TOKEN_SECRET = N_("Token secret")
REALMS_UNKNOWN = N_("The realms could not be read. These two exist on every server.")
NEEDS_SCRIPTS = N_("Proxgate needs JavaScript. Please allow it for this address and reload the page.")
SCRIPT_UNREACHABLE = N_("Proxgate does not answer. Check your connection and try again.")

# Second step
SECOND_STEP = N_("One more step")
SECOND_STEP_OF = N_("{userid} has a second factor")
VERIFY = N_("Verify")
BACK_TO_SIGN_IN = N_("Back to sign-in")
FACTORS = {
    "totp": N_("Authenticator code"),
    "webauthn": N_("Security key"),
    "yubico": N_("YubiKey code"),
    "recovery": N_("Recovery code"),
}
USE_FACTOR = {
    "totp": N_("Use the authenticator app"),
    "webauthn": N_("Use a security key"),
    "yubico": N_("Use a YubiKey code"),
    "recovery": N_("Use a recovery code"),
}
FACTOR_HINTS = {
    "totp": N_("The six to eight digits that your authenticator app shows now."),
    "webauthn": N_("Press the button, then touch your security key or confirm on your device."),
    "yubico": N_("Touch your YubiKey while the field is active."),
    "recovery": N_("Each code works once. Spaces and dashes do not matter."),
}
OTHER_FACTORS = N_("Another way")
RECOVERY_LEFT = N_("Only {count} recovery codes are left. Make new ones in Proxmox soon.")
RECOVERY_LAST = N_("This is the last recovery code. Make new ones in Proxmox right after signing in.")
NO_FACTOR_U2F = N_(
    "This account's second factor is U2F, which browsers no longer support. "
    "An administrator of Proxmox can set up another one, such as WebAuthn or an authenticator app."
)
NO_FACTOR_KEY = N_(
    "This account's security key works only over https and at the host name set up in Proxmox ({host}). "
    "An administrator can give Proxgate such an address, or set up another second factor in Proxmox."
)
NO_FACTOR_RECOVERY = N_(
    "No recovery code of this account is left. An administrator of Proxmox can set the factor up anew."
)
NO_FACTOR = N_("This account's second factor is of a kind that Proxgate does not know.")
KEY_GAVE_UP = N_("The security key did not answer. Try again, or use another way.")

# Trust at first use
TRUST_TITLE = N_("Trust your Proxmox server")
TRUST_WHAT = N_(
    "Proxgate printed the fingerprint of your server's certificate, and a code, where it was started "
    "(as a service: in its journal). "
    "Compare the fingerprint with the one that Proxmox shows; if they are the same, enter the code."
)
TRUST_CODE = N_("Code")
TRUST_IT = N_("Trust this certificate")
TRUSTED = N_("The certificate is trusted from now on.")
TRUST_LINK = N_("You started Proxgate yourself? Enter the code that it printed.")

# Frame
SIGN_OUT = N_("Sign out")
MENU = N_("Menu")
NAVIGATION = N_("Main")
SKIP_TO_CONTENT = N_("Skip to content")
OVERVIEW = N_("Overview")
ACCOUNT = N_("Account")
FIND = N_("Find anything")
FIND_SHORT = N_("Search")
FIND_KEYS = N_("Ctrl K")
FIND_EXAMPLE = N_("Guest, node, storage or page")
FIND_PAGE = N_("Page")
FIND_STORAGE = N_("Storage")
FIND_SHARED = N_("shared")
FOUND = N_("Found")
NOTHING_FOUND = N_("Nothing has that name.")
CLOSE = N_("Close")
NO_QUORUM = N_("No quorum")
ONE_STORAGE_FULL = N_("1 storage full")
STORAGES_FULL = N_("{count} storages full")
FAILED_COUNT = N_("{count} failed")
NO_ANSWER = N_("No answer")
LANGUAGE = N_("Language")
THEME = N_("Theme")
THEME_LIGHT = N_("Light")
THEME_DARK = N_("Dark")
THEME_SYSTEM = N_("System")
SIGNED_IN_AS = N_("Signed in as {userid}, realm {realm}")
DEMO_BANNER = N_("Demo: this Proxmox is simulated.")
INSECURE_BANNER = N_(
    "Certificates of Proxmox are not checked (PROXMOX_VERIFY_TLS=false). Anyone in between can read passwords."
)
UNDECLARED_PROXY = N_(
    "A proxy at {address} stands in front that Proxgate was not told of, so everybody counts as one address. "
    "Set TRUSTED_PROXIES={address} if it is yours."
)
LOADING = N_("Loading…")

# The session's clocks
ENDING = {
    EndReason.IDLE: (
        N_("Are you still there?"),
        N_("You have not done anything for a while. Your session is about to end."),
        N_("Stay signed in"),
    ),
    EndReason.AGE: (
        N_("Your session reaches its longest age"),
        N_("Sign in again now, and what you have entered here stays."),
        N_("Sign in again now"),
    ),
}
LATER = N_("Later")
STORE_SILENT = N_("Proxgate waits for its session store. You are still signed in; this page comes back by itself.")
KEPT = N_("Your page is kept for a quarter of an hour. Sign in with the same account to go on where you were.")
NOT_KEPT = N_("The page you had open could not be kept. What you had entered there is lost.")

# Units
DAYS_HOURS = N_("{days} d {hours} h")
HOURS_MINUTES = N_("{hours} h {minutes} min")
MINUTES = N_("{minutes} min")
SECONDS_AGO = N_("{count} seconds ago")
MINUTE_AGO = N_("a minute ago")
MINUTES_AGO = N_("{count} minutes ago")
HOURS_AGO = N_("{count} hours ago")
DAYS_AGO = N_("{count} days ago")
JUST_NOW = N_("just now")
UTC = "{moment} UTC"

# Overview
CONTAINER, VIRTUAL_MACHINE = N_("CT"), N_("VM")
STATES = {
    "online": N_("online"),
    "offline": N_("offline"),
    "running": N_("running"),
    "stopped": N_("stopped"),
    "paused": N_("paused"),
    "suspended": N_("suspended"),
    "prelaunch": N_("prelaunch"),
    "io-error": N_("I/O error"),
    "internal-error": N_("internal error"),
    "guest-panicked": N_("crashed"),
    "template": N_("template"),
    "unknown": N_("unknown"),
}
NODES = N_("Nodes")
GUESTS = N_("Guests")
NODES_ONLINE = N_("{online} of {count} online")
GUESTS_RUNNING = N_("{running} of {count} running")
NO_NODES = N_("Your account may not see any node.")
NO_GUESTS = N_("There is no guest yet, or your account may not see any.")
NOTHING_VISIBLE_TITLE = N_("Nothing to show")
NOTHING_VISIBLE = N_(
    "Your account may sign in, but see neither nodes nor guests. An administrator of Proxmox can give it a role."
)
LAST_PICTURE = N_("{sentence}. This is the last picture; it comes back by itself.")
LAST_PICTURE_UNTIL = N_("{sentence}. Until then nothing new can be shown.")
NO_PICTURE = N_("{sentence}. It is tried again by itself.")
NOT_REACHABLE = N_("Not reachable at the moment:")
PICTURE_TAKEN = N_("Taken {age}")
SEARCH_GUESTS = N_("Find a guest")
NO_MATCH = N_("No guest matches.")
COLUMN_NAME = N_("Name")
COLUMN_VMID = N_("VMID")
COLUMN_NODE = N_("Node")
COLUMN_STATE = N_("State")
COLUMN_CPU = N_("CPU")
COLUMN_MEMORY = N_("Memory")
CPU_OF, CPU_OF_ONE = N_("{share} of {count} CPUs"), N_("{share} of 1 CPU")
UNKNOWN = "–"

# Health
ALL_WELL = N_("All is well")
WELL_SO_FAR = N_("Nothing wrong that your account can see")
ONE_TROUBLE = N_("One thing needs a look")
TROUBLES = N_("{count} things need a look")
ONLINE = N_("{count} online")
DOWN = N_("{count} down")
OF_ALL = N_("of {count}")
QUORUM = N_("Quorum")
QUORATE = N_("Reached")
NOT_QUORATE = N_("Lost")
RUNNING = N_("Running")
STOPPED = N_("Stopped")
PAUSED = N_("Paused")
HALTED = N_("Halted by an error")
STORAGE = N_("Storage")
FILLING_UP = N_("{count} nearly full")
ROOM_LEFT = N_("Room left")
FAILED_TASKS = N_("Failed tasks")
LAST_DAY = N_("last 24 hours")
NONE = N_("None")
NO_RECENT_BACKUP = N_("No recent backup")
GUEST_COUNT = N_("{count} guests")
BUSIEST_GUESTS = N_("Busiest guests")
ALL_GUESTS = N_("All {count} guests")
CLUSTER_LOAD = N_("Load of the cluster")
NOT_AVAILABLE = N_("{count} not available")
NOT_ALL_KNOWN = N_("not all could be asked")
ONE_GUEST = N_("1 guest")
AND_MORE = N_("And {count} more.")
NEVER_BACKED_UP = N_("never backed up")
HEALTH = N_("Health")
MORE = N_("{count} more")

# Charts
CURVE_FIGURES = N_("mean {mean}, highest {highest}")
SPAN = N_("How far back")
SPANS = {"hour": N_("Hour"), "day": N_("Day"), "week": N_("Week"), "month": N_("Month"), "year": N_("Year")}
CHART_CPU = N_("CPU")
CHART_MEMORY = N_("Memory")
CHART_NETWORK = N_("Network")
CHART_DISK = N_("Disk")
CURVE_CPU = N_("In use")
CURVE_USED = N_("Used")
CURVE_INSTALLED = N_("Installed")
CURVE_ASSIGNED = N_("Assigned")
CURVE_IN = N_("Incoming")
CURVE_OUT = N_("Outgoing")
CURVE_READ = N_("Reading")
CURVE_WRITE = N_("Writing")
NO_CURVES = N_("Proxmox has noted nothing for this time yet.")

# One node
OPEN_IN_PROXMOX = N_("Open in Proxmox")
NO_SUCH_NODE_TITLE = N_("No such node")
NO_SUCH_NODE = N_("There is no node {node}, or your account may not see it.")
NODE_GONE = N_("{node} is no longer part of the cluster, or your account may no longer see it.")
NODE_OFFLINE = N_("{node} is offline. What can be known without it is shown.")
NODE_SILENT = N_("{node} does not answer.")
NODE_FAILED = N_("{node} could not answer.")
SWAP = N_("Swap")
ROOT_DISK = N_("Root disk")
USED_OF = N_("{used} of {total}")
UP_FOR = N_("up {uptime}")
SYSTEM = N_("System")
LOAD = N_("Load, 1 · 5 · 15 min")
PROCESSOR = N_("Processor")
PROCESSOR_OF = N_("{count} × {model}")
VERSION = N_("Proxmox VE")
KERNEL = N_("Kernel")
BOOT = N_("Boot mode")
BOOT_MODES = {"efi": N_("UEFI"), "legacy-bios": N_("BIOS")}
SECURE_BOOT = N_("{mode}, Secure Boot")
SERVICES = N_("Services")
SERVICES_WELL = N_("All that should run does.")
SERVICE_DOWN = N_("1 is down")
SERVICES_DOWN = N_("{count} are down")
UPDATES = N_("Updates")
NO_UPDATES = N_("None waits.")
UPDATE_WAITS = N_("1 waits")
UPDATES_WAIT = N_("{count} wait")
UPDATES_SHOWN = N_("Which ones")
UPDATE_FROM_TO = N_("{old} → {new}")
NODE_GUESTS = N_("{running} of {count} running")
SHOW_GUESTS = N_("Show them")
NODE_FAILED_TASKS = N_("Failed tasks, last 24 hours")
NO_FAILED_TASKS = N_("None.")
SHOW_ALL_FAILED = N_("Show all {count}")

# One guest
NO_SUCH_GUEST_TITLE = N_("No such guest")
NO_SUCH_GUEST = N_("There is no guest {vmid}, or your account may not see it.")
GUEST_GONE = N_("This guest is there no longer, or your account may no longer see it.")
GUEST_MOVED = N_("It has moved from {before} to {now}.")
GUEST_ON = N_("{kind} {vmid} on")
DETAILS = N_("Details")
KIND = N_("Kind")
CORES = N_("CPUs")
KINDS = {"qemu": N_("Virtual machine"), "lxc": N_("Container")}
TEMPLATE_OF = N_("{kind}, template")
TAGS = N_("Tags")
POOL = N_("Pool")
LOCK = N_("Lock")
HIGH_AVAILABILITY = N_("High availability")
HA_MANAGED = N_("The cluster keeps it running")
AGENT = N_("Guest agent")
AGENT_ON = N_("Switched on")
ADDRESSES = N_("Addresses")
NO_ADDRESSES = N_("It has none at the moment.")
NO_AGENT = N_("Unknown: the guest agent does not answer.")
RECENT_TASKS = N_("Recent tasks")
NO_TASKS = N_("None that your account may see.")
SHOW_ALL_TASKS = N_("All its tasks")

# Storage
STORAGES = N_("Storage")
NO_STORAGE_TITLE = N_("No storage to see")
NO_STORAGE = N_("Your account may see no storage. An administrator of Proxmox can change that.")
STORAGE_ON = N_("on {nodes}")
STORAGE_SHARED = N_("shared by {nodes}")
STORAGE_AWAY = N_("Not available")
STORAGE_FULL_IN = N_("Full in about {time} at the pace of the last week")
STORAGE_TIGHT = N_("Nearly full")
IN_DAYS = N_("{count} days")
IN_A_DAY = N_("a day")
IN_WEEKS = N_("{count} weeks")
IN_MONTHS = N_("{count} months")
HOLDS = N_("Holds")
CONTENTS = {
    "images": N_("Disks"),
    "rootdir": N_("Container disks"),
    "backup": N_("Backups"),
    "iso": N_("ISO images"),
    "vztmpl": N_("Templates"),
    "snippets": N_("Snippets"),
    "import": N_("Imports"),
}
STORAGE_TYPE = N_("Type")
STORAGES_MORE = N_("And {count} more.")
OPEN_NAMED_IN_PROXMOX = N_("Open {name} in Proxmox")
OPEN_TASKS_IN_PROXMOX = N_("Open the tasks of {name} in Proxmox")
STORAGES_TOTAL = N_("{used} of {total} in use")

# Tasks
TASKS_TITLE = N_("Tasks")
TASK_WHAT = N_("Task")
TASK_ABOUT = N_("About")
TASK_STATE = N_("State")
TASK_USER = N_("By")
TASK_AT = N_("Began")
TASK_RUNNING = N_("Running")
TASK_WELL = N_("OK")
TASK_WARNINGS = N_("With warnings")
TASK_FAILED = N_("Failed")
OUTCOMES = {"running": TASK_RUNNING, "failed": TASK_FAILED, "warning": TASK_WARNINGS, "well": TASK_WELL}
TASK_LASTED = N_("Duration")
TASK_LOG = N_("Log")
TASK_LOG_CUT = N_("It is long: only some {count} of its newest lines are shown.")
TASK_UNKNOWN = N_("There is no such task. Proxmox keeps only its latest ones.")
TASK_STOP = N_("Stop task")
TASK_STOP_TITLE = N_("Stop this task?")
TASK_STOP_WHAT = N_("{task} is cut short where it is. What it was about may be left half done.")
TASK_STOPPING = N_("It has been told to stop…")
TASK_NOT_STOPPED = N_("The task was not stopped.")
MINUTES_SECONDS = N_("{minutes} min {seconds} s")
SECONDS = N_("{seconds} s")
BELL = N_("Your tasks")
BELL_ALL = N_("All your tasks")
BELL_NONE = N_("Nothing lately. What you set going in Proxmox is shown here, from wherever you did it.")
BELL_UNREAD = N_("Your tasks could not be read. They are asked for again and again.")
BELL_ONE_RUNNING = N_("1 task running")
BELL_RUNNING = N_("{count} tasks running")
BELL_ONE_FAILED = N_("1 failed")
BELL_FAILED = N_("{count} failed")
TASKS_ANY_OUTCOME = N_("Any state")
TASKS_ALL_GUESTS = N_("All guests")
TASKS_ANY_USER = N_("Everybody's")
TASKS_ANY_KIND = N_("All kinds")
TASKS_ALL_NODES = N_("All nodes")
TASKS_FILTER = N_("Which tasks")
TASKS_NONE = N_("No tasks to see")
TASKS_NONE_FAILED = N_("No task has failed")
TASKS_NONE_FAILED_WHY = N_("None of those that your account may see, in the last 24 hours.")
TASKS_NONE_SUCH = N_("No such tasks")
TASKS_NONE_SUCH_WHY = N_("Proxmox knows of none, or your account may not see them. Choose less, and more are shown.")
TASKS_NONE_WHY = N_("Those that you begin are shown here, and all with the privilege Sys.Audit.")
TASKS_UNREAD = N_("The tasks could not be read")
TASKS_UNREAD_WHY = N_("There may be some. They are asked for again and again.")
TASKS_NEWEST = N_("The newest {count}")
TASKS_NEWEST_OF_EACH = N_("The newest of each node, {count} in all")
TASKS_NEWEST_OF = N_("The newest {count} of {total}")
TASKS_LAST_DAY = N_("{count} in the last 24 hours")
TASKS_LAST_DAY_NEWEST = N_("The newest {count} in the last 24 hours")
TASKS_LAST_DAY_OF = N_("The newest {count} of {total} in the last 24 hours")
BACKUP_JOB = N_("Backup job")
TASKS = {
    "aptupdate": N_("Refresh of the package lists"),
    "auth-realm-sync": N_("Realm sync"),
    "auth-realm-sync-test": N_("Realm sync preview"),
    "acmenewcert": N_("Certificate order"),
    "acmerenew": N_("Certificate renewal"),
    "clustercreate": N_("Cluster creation"),
    "clusterjoin": N_("Joining the cluster"),
    "diskinit": N_("Disk initialisation"),
    "download": N_("Download"),
    "hamigrate": N_("HA migration"),
    "hashutdown": N_("HA shutdown"),
    "hastart": N_("HA start"),
    "hastop": N_("HA stop"),
    "imgcopy": N_("Copying data"),
    "imgdel": N_("Deleting data"),
    "migrateall": N_("Bulk migration"),
    "move_volume": N_("CT volume move"),
    "pull_file": N_("CT file pull"),
    "push_file": N_("CT file push"),
    "qmclone": N_("VM clone"),
    "qmconfig": N_("VM configuration"),
    "qmcreate": N_("VM creation"),
    "qmdelsnapshot": N_("VM snapshot deletion"),
    "qmdestroy": N_("VM removal"),
    "qmigrate": N_("VM migration"),
    "qmmove": N_("VM disk move"),
    "qmpause": N_("VM pause"),
    "qmreboot": N_("VM reboot"),
    "qmreset": N_("VM reset"),
    "qmrestore": N_("VM restore"),
    "qmresume": N_("VM resume"),
    "qmrollback": N_("VM rollback"),
    "qmshutdown": N_("VM shutdown"),
    "qmsnapshot": N_("VM snapshot"),
    "qmstart": N_("VM start"),
    "qmstop": N_("VM stop"),
    "qmsuspend": N_("VM hibernation"),
    "qmtemplate": N_("VM conversion to a template"),
    "reloadnetworkall": N_("Reload of all networks"),
    "resize": N_("Disk resize"),
    "spiceproxy": N_("Console (SPICE)"),
    "spiceshell": N_("Shell (SPICE)"),
    "srvreload": N_("Service reload"),
    "srvrestart": N_("Service restart"),
    "srvstart": N_("Service start"),
    "srvstop": N_("Service stop"),
    "startall": N_("Bulk start"),
    "stopall": N_("Bulk shutdown"),
    "suspendall": N_("Bulk suspension"),
    "termproxy": N_("Console"),
    "unknownimgdel": N_("Deleting an image of an unknown guest"),
    "vncproxy": N_("Console (VNC)"),
    "vncshell": N_("Shell"),
    "vzclone": N_("CT clone"),
    "vzcreate": N_("CT creation"),
    "vzdelsnapshot": N_("CT snapshot deletion"),
    "vzdestroy": N_("CT removal"),
    "vzdump": N_("Backup"),
    "vzmigrate": N_("CT migration"),
    "vzmount": N_("CT mount"),
    "vzreboot": N_("CT reboot"),
    "vzrestore": N_("CT restore"),
    "vzresume": N_("CT resume"),
    "vzrollback": N_("CT rollback"),
    "vzshutdown": N_("CT shutdown"),
    "vzsnapshot": N_("CT snapshot"),
    "vzstart": N_("CT start"),
    "vzstop": N_("CT stop"),
    "vzsuspend": N_("CT suspension"),
    "vztemplate": N_("CT conversion to a template"),
    "vzumount": N_("CT unmount"),
    "wipedisk": N_("Disk wipe"),
}

# My sessions
MY_SESSIONS = N_("My sessions")
SIGNED_IN_NOW = N_("Signed in now")
ONE_SESSION = N_("1 session")
SESSIONS = N_("{count} sessions")
THIS_SESSION = N_("This one")
SESSION_STARTED = N_("Started")
SESSION_USED = N_("Last used")
ONLY_SESSION = N_("{principal} is signed in nowhere else.")
END_SESSION = N_("End")
END_SESSION_OF = N_("End {device}, {address}")
END_OTHERS = N_("End all other sessions")
END_OTHERS_TITLE = N_("End all other sessions?")
END_OTHERS_WHAT = N_("Every other browser signed in as {principal} is back at the login card at once. This one stays.")
END_OTHERS_YES = N_("End them")
CANCEL = N_("Cancel")
SESSION_ENDED = N_("1 session ended")
SESSIONS_ENDED = N_("{count} sessions ended")
SESSION_GONE = N_("That session had ended already")
NOT_ENDED = N_("{sentence}. Please try again.")
DEVICE = N_("{browser} on {system}")
A_BROWSER = N_("A browser")
UNKNOWN_DEVICE = N_("Unknown device")
ACTIVITY = N_("Recent activity")
NO_ACTIVITY = N_("Nothing was noted yet.")
SESSION_OVER = {
    EndReason.IDLE: N_("Session ended: not used for a while"),
    EndReason.AGE: N_("Session ended: it reached its longest age"),
    EndReason.ENDED: N_("Session ended from another device"),
    EndReason.REJECTED: N_("Session ended: Proxmox no longer accepts the sign-in"),
    EndReason.SIGNED_OUT: N_("Signed out"),
}
EVENTS = {
    Kind.SIGN_IN: N_("Signed in"),
    Kind.FAILURE: N_("Sign-in failed"),
    Kind.SECOND_FACTOR: N_("Second factor asked for"),
    Kind.LIMITED: N_("Too many attempts"),
    Kind.RENEWAL_FAILED: N_("Proxmox did not renew the sign-in"),
    Kind.SIGN_OUT: N_("Signed out"),
    Kind.END: N_("Session ended"),
    Kind.REFUSAL: N_("Request from another site refused"),
}
FAILURES = {
    InvalidCredentials.__name__: N_("Sign-in refused"),
    Kind.SECOND_FACTOR: N_("Second factor refused"),
}

# Pages that are none
NOT_FOUND_TITLE = N_("Page not found")
NOT_FOUND = N_("There is nothing at this address.")
TO_OVERVIEW = N_("Go to the overview")
PAGE_FAILED_TITLE = N_("Something went wrong")
PAGE_FAILED = N_("The page could not be built. The reason is in Proxgate's log.")
STORE_DOWN_TITLE = N_("Session store unreachable")
STORE_DOWN = N_(
    "Proxgate cannot reach its session store. Nobody is signed out by that; this page tries again by itself."
)

# Refusals without a page
METHOD_NOT_ALLOWED = N_("Method not allowed")
NOT_OUR_HOST = N_("This address is not Proxgate's")
NO_SUCH_TAB = N_("No such tab")
NOTHING_HERE = N_("Not found")
OTHER_SITE = N_("This request came from another site")
TOO_LARGE = N_("The request is too large")
TOO_SLOW = N_("The request did not arrive in time")
NOT_A_FORM = N_("Send the form as application/x-www-form-urlencoded")
BAD_FORM = N_("The form could not be read")
NOT_SIGNED_IN = N_("Not signed in")
TOO_MANY_TABS = N_("Too many pages were opened at once. Try again in a few seconds")

ENDED = {
    EndReason.IDLE: N_("Your session ended because it was not used for a while. Please sign in again."),
    EndReason.AGE: N_("Your session reached its longest age. Please sign in again."),
    EndReason.ENDED: N_("Your session was ended from another device. Please sign in again."),
    EndReason.REJECTED: N_("Proxmox no longer accepts this sign-in. Please sign in again."),
}

DISTRUST = {
    Distrust.UNKNOWN: N_("The certificate of the Proxmox server is not trusted."),
    Distrust.CHANGED: N_("The certificate of the Proxmox server has changed and is not trusted."),
    Distrust.EXPIRED: N_("The certificate of the Proxmox server has expired, or is not valid yet, and is not trusted."),
    Distrust.WRONG_NAME: N_("The certificate of the Proxmox server was made for another name and is not trusted."),
}
NOT_OF_THE_AUTHORITY = N_(
    "The certificate of the Proxmox server is not trusted, as the trusted authority did not sign it."
)
ITS_FINGERPRINT = N_("Its fingerprint is {fingerprint}.")
EXPECTED = N_("Expected was {expected}.")
EXPECTED_SIGNED = N_("Expected was one signed by the authority with the fingerprint {expected}.")
OR = N_("{first} or {last}")
OR_OF_MANY = N_("{first}, or {last}")
ADMINISTRATOR = N_("The administrator {what}.")
ADMINISTRATOR_ONCE_SURE = N_("The administrator {what}, once it is known to be the right one.")


class Mend(StrEnum):
    """What an administrator can do about a certificate, as a part of a sentence."""

    RENEW = N_("renews it on the server, or sets the clock that is wrong")
    NAME = N_("gives PROXMOX_HOST one of its names")
    TRUST = N_("runs proxgate trust")
    FINGERPRINT = N_("sets PROXMOX_FINGERPRINT")
    CA_FILE = N_("sets PROXMOX_CA_FILE")
    CA_FILE_ALONE = N_("sets PROXMOX_CA_FILE in its place")
    CA_FILE_AND_FORGET = N_("sets PROXMOX_CA_FILE and runs proxgate trust --forget")


INVALID_CREDENTIALS = N_("Invalid credentials")
UNREACHABLE = N_("Unable to reach the Proxmox server")
NOT_PROXMOX = N_("The server at that address does not answer like Proxmox VE")
CLOCK_OFF = N_("The clocks of Proxmox and Proxgate do not agree. An administrator can set them; then sign in anew.")
LACKS_PRIVILEGE = N_("Your account lacks a privilege for this")
LACKS_NAMED_PRIVILEGE = N_("Your account lacks a privilege for this: {privilege} on {path}")
REFUSED = N_("Proxmox refused the request")
REFUSED_WITH = N_("Proxmox refused the request ({status})")
TOO_MANY_ATTEMPTS = N_("Too many attempts. Try again in {seconds} seconds")
STEP_EXPIRED = N_("This sign-in took too long, or began in another browser. Please sign in again.")
UNDER_WAY = N_("Your last order about this guest is still on its way to Proxmox.")
CODE_REFUSED = N_("That code is not valid. Each works once, for a day.")

HINTS = {
    Hint.CLOCK: N_(
        "The clocks of Proxgate and Proxmox differ by more than five minutes. An administrator can set them."
    ),
    Hint.REALM: N_("Proxmox does not offer this realm any more. Please choose another."),
    Hint.ORIGIN: N_(
        "Proxmox takes a security key only where the origin in its own WebAuthn settings equals PUBLIC_URL, "
        "the address of this page."
    ),
    Hint.OPENID: N_("Proxmox did not accept what the provider sent; it does not say why."),
}

OUTAGES = {
    Outage.NAME: N_("Its host name is not known."),
    Outage.REFUSED: N_("It refused the connection."),
    Outage.SILENT: N_("It did not answer in time."),
    Outage.BROKEN: N_("The connection broke off."),
    Outage.NO_TLS: N_("What listens there does not speak https."),
    Outage.DAEMON: N_("Its API service is down."),
    Outage.FAILED: N_("It answered with an error of its own."),
}

PROVIDER = {
    ProviderError.DENIED: N_("The provider did not let you sign in"),
    ProviderError.FAILED: N_("The provider reported an error"),
    ProviderError.SILENT: N_("Proxmox could not start the sign-in at this realm's provider"),
    ProviderError.GONE: N_("Proxmox does not offer this realm any more. Please choose another."),
}

# Guests
GUEST = N_("Guest")
GUEST_COLUMNS = {
    "name": N_("Name"),
    "vmid": N_("VMID"),
    "node": N_("Node"),
    "state": N_("State"),
    "cpu": N_("CPU"),
    "memory": N_("Memory"),
    "disk": N_("Disk"),
    "uptime": N_("Uptime"),
    "tags": N_("Tags"),
    "pool": N_("Pool"),
    "addresses": N_("Addresses"),
}
MEMORY_IN_SHORT = N_("RAM")
SEARCH_GUESTS_BY = N_("Find: web, node:pve1, tag:prod, stopped")
SEARCH_HELP = N_("What can be searched for")
SEARCH_EXAMPLES = {
    "web": N_("part of a name, node, tag or pool"),
    "stopped": N_("a state"),
    "node:pve1": N_("on this node; also pool:media, type:lxc, state:paused"),
    "tag:web,db": N_("with either tag"),
    "vmid:100-199": N_("by number"),
    "name:web*": N_("a name that begins so"),
    'name:"old box"': N_("with a space in it"),
    "-tag:test": N_("all but these"),
}
GUESTS_FOUND = N_("{found} of {count} guests")
NOT_UNDERSTOOD = N_("Not understood and left aside: {terms}. Known are {keys}")
LIST_COMMA = N_(", ")
CLEAR_SEARCH = N_("Clear the search")
NO_GUESTS_TITLE = N_("No guests")
PRESS_TO_SORT = N_("Press Enter to sort")
SORT_BY = N_("Sort by")
SORTED_BY = N_("Sort: {column}")
COLUMNS = N_("Columns")
COLUMNS_FITTING = N_("What fits")
LOCKED = N_("locked: {lock}")

# Orders: what people have done
ACTIONS = N_("Actions")
ORDERS = {
    "start": N_("Start"),
    "shutdown": N_("Shut down"),
    "stop": N_("Stop"),
    "reboot": N_("Reboot"),
    "suspend": N_("Suspend"),
    "resume": N_("Resume"),
    "snapshot": N_("Take snapshot"),
    "rollback": N_("Roll back"),
    "delete-snapshot": N_("Delete snapshot"),
    "backup": N_("Back up now"),
}
ORDER_TITLES = {
    "start": N_("Start {what}?"),
    "shutdown": N_("Shut down {what}?"),
    "stop": N_("Stop {what} at once?"),
    "reboot": N_("Reboot {what}?"),
    "suspend": N_("Suspend {what}?"),
    "resume": N_("Resume {what}?"),
    "snapshot": N_("Take a snapshot of {what}"),
    "rollback": N_("Roll {guest} back to {what}?"),
    "delete-snapshot": N_("Delete the snapshot {what} of {guest}?"),
    "backup": N_("Back up {what} now"),
}
ORDER_WHATS = {
    "start": N_("It boots with its present configuration."),
    "shutdown": N_("Its system is asked to shut down by itself. That may take minutes, and some do not answer."),
    "stop": N_("Its power is cut. What it has not written to its disk is lost."),
    "reboot": N_("Its system is asked to shut down by itself, then it is started again, with all changes that wait."),
    "suspend": N_("It stands still, with all that it has in memory, and answers nobody until it is resumed."),
    "resume": N_("It goes on where it stood still."),
    "snapshot": N_("Its disks are kept as they are now, so that it can be brought back to this moment."),
    "rollback": N_(
        "All that has changed since this snapshot is lost, on its disks and in its configuration. "
        "A guest that runs is switched off for it, and stays off unless the snapshot has its memory."
    ),
    "delete-snapshot": N_("The guest stays as it is; only the way back to this moment is lost."),
    "backup": N_("A guest that runs goes on running meanwhile. Older backups stay."),
}
ORDERS_DONE = {
    "start": N_("{guest} has been started."),
    "shutdown": N_("{guest} has shut down."),
    "stop": N_("{guest} has been stopped."),
    "reboot": N_("{guest} has been told to reboot."),
    "suspend": N_("{guest} is suspended."),
    "resume": N_("{guest} has been resumed."),
    "snapshot": N_("The snapshot of {guest} has been taken."),
    "rollback": N_("{guest} has been rolled back."),
    "delete-snapshot": N_("The snapshot of {guest} has been deleted."),
    "backup": N_("{guest} has been backed up."),
}
ORDER_BEGUN = N_("{guest}: “{order}” was begun. How it goes on cannot be seen just now.")
GUEST_CHANGED = N_("It is not the guest any more that you were asked about. Nothing was done.")
ORDER_SENT = N_("{guest}: “{order}” was sent to Proxmox.")
ORDER_FAILED = N_("{guest}: “{order}” did not succeed.")
SENT = N_("{order}: sent to Proxmox…")
GOES_ON = N_("{task} is going on…")
SHOW_LOG = N_("Show its log")
NOT_DONE = N_("Proxmox could not do it.")
NOBODY_KNOWS = N_("No answer came, so nobody knows whether it was done. Look at the tasks before you try again.")
NOTHING_SENT = N_("{sentence}. Nothing was done.")
LOCKED_BY = N_("It is locked by something that is going on, or was cut short: {lock}.")
PROXMOX_SAID = N_("What Proxmox said")
NODE_LITTLE = N_(
    "Your account sees no more of this node than that it is there, and those guests on it that it may see."
)
MAY_NOT = N_("Your account may not do this")
GRANT = N_("An administrator gives it on a node of the cluster with this line:")
COPY = N_("Copy")
COPIED = N_("Copied")

# A guest's snapshots and backups
SNAPSHOTS = N_("Snapshots")
NO_SNAPSHOTS = N_("None yet. With one the guest can be brought back to the moment at which it was taken.")
OLDER_SNAPSHOTS = N_("And {count} before these.")
SNAPSHOT_NOW = N_("Now")
SNAPSHOT_NOW_WHAT = N_("where the guest stands")
SNAPSHOT_NAME = N_("Name")
SNAPSHOT_NAME_HINT = N_("Two to forty letters, digits, - and _, a letter first.")
SNAPSHOT_DESCRIPTION = N_("Description")
SNAPSHOT_MEMORY = N_("With memory")
SNAPSHOT_MEMORY_HINT = N_("It goes on where it was after a rollback. Takes longer, and as much room as its memory.")
NAME_FAULTS = {
    NameFault.MISSPELT: N_("That name will not do: two to forty letters, digits, - and _, a letter first."),
    NameFault.RESERVED: N_("Proxmox keeps that name for itself."),
    NameFault.TAKEN: N_("There is a snapshot of that name already."),
}
WITH_MEMORY = N_("with memory")
ROLL_BACK = N_("Roll back")
DELETE = N_("Delete")
BUTTON_ABOUT = N_("{button}: {what}")
BACKUPS = N_("Backups")
NO_BACKUPS = N_("None that this node can see.")
STORAGES_SILENT = N_("Could not be read, so there may be more: {storages}")
BACKUPS_UNSEEN = N_("Your account may not see its backups.")
PROTECTED = N_("protected")
PROTECT = N_("Protect it")
PROTECT_HINT = N_("It is neither pruned nor deleted until somebody takes the protection away.")
STORAGE_ROOM = N_("{storage} ({room} free)")

# A guest's configuration
CONFIGURATION = N_("Configuration")
NOTES = N_("Notes")
CONFIG = {
    "processors": N_("Processors"),
    "memory": N_("Memory"),
    "system": N_("Operating system"),
    "firmware": N_("Firmware"),
    "boot": N_("Boot order"),
    "onboot": N_("Starts with its node"),
    "privileges": N_("Container"),
}
OS_TYPES = {
    "l26": N_("Linux"),
    "l24": N_("Linux 2.4"),
    "win11": N_("Windows 11, 2022 or 2025"),
    "win10": N_("Windows 10, 2016 or 2019"),
    "win8": N_("Windows 8 or 2012"),
    "win7": N_("Windows 7 or 2008 R2"),
    "other": N_("Other"),
    "unmanaged": N_("Not managed by Proxmox"),
}
DISK = N_("Disk {name}")
NETWORK_CARD = N_("Network {name}")
CD_DRIVE = N_("CD drive")
EMPTY_DRIVE = N_("Empty CD drive")
NOT_BACKED_UP = N_("not backed up")
VLAN = N_("VLAN {tag}")
FIREWALL = N_("firewall on")
LINK_DOWN = N_("cable unplugged")
ONE_CORE, CORES_OF = N_("1 core"), N_("{cores} cores")
ONE_CORE_ON_SOCKETS = N_("1 core on each of {sockets} sockets")
CORES_ON_SOCKETS = N_("{cores} cores on each of {sockets} sockets")
CPU_LIMIT = N_("at most {limit}")
AT_LEAST = N_("at least {size}")
SWAP_OF = N_("{size} swap")
UNPRIVILEGED = N_("Unprivileged")
PRIVILEGED = N_("Privileged")
OTHER_SETTINGS = N_("All other settings")
YES, NO = N_("Yes"), N_("No")

# Several guests at once
SELECT = N_("Select")
SELECTED_GUESTS = N_("Selected guests")
SELECTED = N_("{count} selected")
SELECT_ALL = N_("Select all {count}")
SELECT_FIRST = N_("Select the first {count}")
CLEAR_SELECTION = N_("Clear selection")
BULK_WHATS = {
    "start": N_("They boot with their present configuration."),
    "resume": N_("They go on where they stood still."),
    "shutdown": N_("Their systems are asked to shut down by themselves. That may take minutes, or be in vain."),
    "reboot": N_("Their systems are asked to shut down by themselves, then they start again with what has changed."),
    "suspend": N_("They stand still, with all that they have in memory, and answer nobody until they are resumed."),
    "stop": N_("Their power is cut. What they have not written to their disks is lost."),
}
BULK_TITLES = {
    "start": N_("Start these? ({count})"),
    "resume": N_("Resume these? ({count})"),
    "shutdown": N_("Shut these down? ({count})"),
    "reboot": N_("Reboot these? ({count})"),
    "suspend": N_("Suspend these? ({count})"),
    "stop": N_("Stop these at once? ({count})"),
}
LEFT_OUT = N_("Left out, since it does not fit their state: {names}")
LEFT_OUT_FOR_RIGHTS = N_("Left out, since your account may not do it: {names}")
LEFT_OUT_AS_TOO_MANY = N_("Left out, since these are more than {most} at once: {names}")
NONE_FITS = N_("“{order}” fits none of the selected guests as they are now.")
RESULT_WAITS = N_("waits")
RESULT_GOES_ON = N_("going on…")
RESULT_DONE = N_("done")
RESULT_BEGUN = N_("begun; how it goes on cannot be seen just now")
RESULT_NOT_SENT = N_("not sent: the session ended")
ONE_AFTER_THE_OTHER = N_("The last orders are still being sent.")
