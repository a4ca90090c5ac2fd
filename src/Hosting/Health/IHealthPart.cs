namespace Marmot.Hosting.Health;

/// <summary>One named part of a server that <c>/readyz</c> asks: a store, a relay connection, a provider.</summary>
public interface IHealthPart
{
    /// <summary>Stable, lower-case name, e.g. <c>storage</c>.</summary>
    string Name { get; }

    /// <summary>The state now. Must answer at once, from memory; called for each request to <c>/readyz</c>.</summary>
    HealthState Check();
}

/// <summary>Whether a part can do its work, with a word for the operator that holds no address, key or content.</summary>
/// <param name="Ready">It can.</param>
/// <param name="Detail">How it is.</param>
/// <param name="Advice">What to do about it; empty when nothing, or nothing better is known than the detail says.</param>
public readonly record struct HealthState(bool Ready, string Detail, string Advice = "")
{
    /// <summary>Ready, with nothing to add.</summary>
    public static HealthState Ok { get; } = new(true, "ok");
}
