namespace Marmot.Relay.Connections;

/// <summary>How fast a relay that stops sends its clients away: whoever is told goes to another replica at once.</summary>
internal static class DrainPace
{
    /// <summary>Between two steps.</summary>
    public static readonly TimeSpan Step = TimeSpan.FromMilliseconds(50);

    /// <summary>A step of a relay with few clients: a thousand a second, of which a neighbour notices nothing.</summary>
    private const int FewPerStep = 50;

    /// <summary>However many there are, the last one is told within 3 seconds, well before a supervisor loses its patience.</summary>
    private const int MaxSteps = 60;

    /// <summary>How many of all clients are told in one step.</summary>
    public static int PerStep(int clients) => Math.Max(FewPerStep, (clients + MaxSteps - 1) / MaxSteps);
}
