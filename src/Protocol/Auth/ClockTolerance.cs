namespace Marmot.Protocol.Auth;

/// <summary>How far the clocks of clients may be wrong: one value for every signed request (NIP-42, NIP-98, BUD-11), so that a phone is not taken at one door
/// and refused at the next.</summary>
public static class ClockTolerance
{
    /// <summary>Ten minutes, what NIP-42 suggests.</summary>
    public static readonly TimeSpan Value = TimeSpan.FromMinutes(10);

    /// <summary><see cref="Value"/> in seconds.</summary>
    public static long Seconds => (long)Value.TotalSeconds;
}
