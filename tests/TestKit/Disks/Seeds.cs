using System.Globalization;

namespace Marmot.TestKit.Disks;

/// <summary>Seeds of tests that try something else each time: printed by the test, and taken from <c>MARMOT_SEED</c> to do a failed run again.</summary>
public static class Seeds
{
    /// <summary>The seed of this run.</summary>
    public static int Next() =>
        int.TryParse(Environment.GetEnvironmentVariable("MARMOT_SEED"), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var seed)
            ? seed
            : Environment.TickCount;
}
