namespace Marmot.Hosting.ConsolePages;

/// <summary>What a server says of itself to people: on the public page, and in the console.</summary>
public interface IPublicFacts
{
    /// <summary>Order among the servers.</summary>
    int Order { get; }

    /// <summary>Name, description and operator of the place; null when another server tells.</summary>
    PublicProfile? Profile => null;

    /// <summary>What clients enter.</summary>
    /// <param name="origin">The public origin without a path, <c>https://example.org</c>.</param>
    IEnumerable<PublicAddress> Addresses(string origin);

    /// <summary>Limits and protocols, a line each.</summary>
    IEnumerable<(string Name, string Value)> Facts();
}

/// <summary>Who runs this.</summary>
/// <param name="Name">Of the place.</param>
/// <param name="Description">In a sentence.</param>
/// <param name="Contact">How to reach the operator; empty when not told.</param>
/// <param name="PublicKey">The operator's, npub; empty when not told.</param>
public sealed record PublicProfile(string Name, string Description, string Contact, string PublicKey);

/// <summary>An address that people enter in a client.</summary>
/// <param name="Name">What it is.</param>
/// <param name="Value">The address.</param>
/// <param name="Hint">Where it goes.</param>
public sealed record PublicAddress(string Name, string Value, string Hint);
