using Marmot.Hosting.Health;

namespace Marmot.NotifyServer.Claims;

/// <summary>Whether replicas agree on who does what. Never a reason to stop: alone, each does what it hears.</summary>
internal sealed class ClaimsHealth(SharedClaims claims) : IHealthPart
{
    public string Name => "notify-claims";

    public HealthState Check() => new(true, claims.IsAlone ? "the shared ledger cannot be asked; each replica decides alone" : "ok");
}
