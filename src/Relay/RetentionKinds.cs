namespace Marmot.Relay;

/// <summary>The keys of <see cref="RelayOptions.RetentionDays"/>.</summary>
internal static class RetentionKinds
{
    public static int Parse(string kind) => int.Parse(kind, System.Globalization.CultureInfo.InvariantCulture);
}
