using Marmot.Relay.Storage;

namespace Marmot.Relay.Live;

/// <summary>An accepted event on its way to subscribers; its bytes are shared by all of them.</summary>
/// <param name="Record">The event.</param>
/// <param name="Arrival">Arrival number in the store; 0 for an ephemeral event.</param>
internal sealed record LiveEvent(EventRecord Record, ulong Arrival);
