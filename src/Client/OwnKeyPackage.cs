using Marmot.Client.Relays;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Client;

/// <summary>An own key package, for showing.</summary>
/// <param name="Reference">KeyPackageRef.</param>
/// <param name="Slot">The <c>d</c> tag.</param>
/// <param name="EventId">The event that carries it.</param>
/// <param name="CreatedAt">Unix seconds.</param>
/// <param name="IsLastResort">May be used more than once.</param>
/// <param name="Uses">Welcomes it has opened.</param>
/// <param name="IsRetired">Another has taken its place; it opens Welcomes under way for another day.</param>
public sealed record OwnKeyPackage(Bytes32 Reference, string Slot, Bytes32 EventId, long CreatedAt, bool IsLastResort, int Uses, bool IsRetired);

/// <summary>A key package that was published.</summary>
/// <param name="Reference">KeyPackageRef.</param>
/// <param name="Event">The kind 30443 event.</param>
/// <param name="Published">What the relays said, to it and to the kind 443 copy when there is one.</param>
public sealed record PublishedKeyPackage(Bytes32 Reference, NostrEvent Event, IReadOnlyList<PublishedEvent> Published);
