namespace Marmot.Client.Tests.Simulation;

/// <summary>Random numbers that depend on the seed and on what they are for, never on what was drawn before: one changed step leaves the rest of the run as it
/// was.</summary>
internal static class SimDice
{
    /// <summary>A generator of its own for one purpose.</summary>
    public static Random For(int seed, params ReadOnlySpan<int> purpose)
    {
        ulong state = Mix((ulong)seed + 0x9E3779B97F4A7C15);
        foreach (int part in purpose)
        {
            state = Mix(state ^ ((ulong)(uint)part + 0xD1B54A32D192ED03));
        }

        return new Random((int)(state >> 33));
    }

    // SplitMix64's finalizer.
    private static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}
