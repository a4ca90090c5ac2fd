using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;

namespace Marmot.NotifyServer.Inbox;

/// <summary>What all relays of the inbox share.</summary>
internal sealed record InboxContext(
    NotifyOptions Options,
    IReadOnlyList<string> AnnouncedRelays,
    X509Certificate2Collection? TrustedRoots,
    TriggerGate Gate,
    FairIntake Intake,
    Canaries Canaries,
    NotifyMetrics Metrics,
    TimeProvider Time,
    ILogger Logger);
