namespace Marmot.AllInOne;

/// <summary>The servers one process runs.</summary>
[Flags]
internal enum Roles
{
    None = 0,
    Relay = 1,
    Blossom = 2,
    Notify = 4,
    All = Relay | Blossom | Notify,
}
