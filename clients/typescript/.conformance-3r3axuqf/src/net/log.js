/** Where the network thread's log goes: to the handlers' thread, which knows the user's logger. */
let sink = () => undefined;
/** Says, once, where entries go. */
export function logTo(to) {
    sink = to;
}
export function log(level, event, fields = {}) {
    sink({ level, event, fields });
}
