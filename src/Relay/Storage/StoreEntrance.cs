namespace Marmot.Relay.Storage;

/// <summary>What no relay may hold, whoever brings it: a client, an import, another relay, another replica. Every store asks it for each event before anything
/// else.</summary>
/// <param name="clock">The time.</param>
/// <param name="maxEventBytes">Longest event, bytes.</param>
/// <param name="maxFuture">How far ahead of the clock an event may be dated.</param>
internal sealed class StoreEntrance(TimeProvider clock, int maxEventBytes, TimeSpan maxFuture)
{
    /// <summary>With the limits of the relay's settings.</summary>
    public static StoreEntrance From(RelayOptions options, TimeProvider clock) => new(clock, options.MaxMessageBytes, options.MaxFuture);

    /// <summary>With the default limits.</summary>
    public static StoreEntrance Default { get; } = From(new RelayOptions(), TimeProvider.System);

    /// <summary>Judges one event; the verdict is set when it is refused.</summary>
    public bool Admits(EventWrite write)
    {
        if (Judge(write.Record) is { } refusal)
        {
            write.Verdict = refusal;
            return false;
        }

        return true;
    }

    /// <summary>Null for what may be stored.</summary>
    public StoreVerdict? Judge(EventRecord record)
    {
        if (!MayHold(record.Kind))
        {
            return StoreVerdict.NeverStored;
        }

        if (record.Json.Length > maxEventBytes)
        {
            return StoreVerdict.TooLarge;
        }

        return record.CreatedAt > clock.GetUtcNow().ToUnixTimeSeconds() + (long)maxFuture.TotalSeconds ? StoreVerdict.TooNew : null;
    }

    /// <summary>False for ephemeral kinds (NIP-01), AUTH events (NIP-42) and what exists only inside encryption.</summary>
    public static bool MayHold(int kind) => !KindRules.IsEphemeral(kind) && !KindRules.IsOnlyEncrypted(kind);
}
