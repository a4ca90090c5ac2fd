using Marmot.Client.Relays;
using Marmot.Protocol.Events;

namespace Marmot.Client;

/// <summary>A message that was sent.</summary>
/// <param name="Rumor">The inner event.</param>
/// <param name="Published">The group event; when no relay answered it waits in the outbox.</param>
public sealed record SentMessage(Rumor Rumor, PublishedEvent Published);
