namespace Marmot.Protocol.RelayDocument;

/// <summary>What a relay says about itself (NIP-11); null members are left out.</summary>
public sealed record RelayInformation
{
    /// <summary>Name for lists.</summary>
    public string? Name { get; init; }

    /// <summary>Plain text.</summary>
    public string? Description { get; init; }

    /// <summary>Image URL.</summary>
    public string? Banner { get; init; }

    /// <summary>Square image URL.</summary>
    public string? Icon { get; init; }

    /// <summary>The operator's key, 64 hex digits.</summary>
    public string? PublicKey { get; init; }

    /// <summary>The relay's own key, 64 hex digits.</summary>
    public string? Self { get; init; }

    /// <summary>How to reach the operator, a URI.</summary>
    public string? Contact { get; init; }

    /// <summary>The NIPs that are implemented, by number.</summary>
    public IReadOnlyList<int> SupportedNips { get; init; } = [];

    /// <summary>Address of the source code.</summary>
    public string? Software { get; init; }

    /// <summary>Version of the software.</summary>
    public string? Version { get; init; }

    /// <summary>URL of the terms of service.</summary>
    public string? TermsOfService { get; init; }

    /// <summary>URL of the privacy policy.</summary>
    public string? PrivacyPolicy { get; init; }

    /// <summary>The limits, as enforced.</summary>
    public RelayLimitation Limitation { get; init; } = new();

    /// <summary>How long events stay, by kind.</summary>
    public IReadOnlyList<RelayRetention> Retention { get; init; } = [];
}

/// <summary>The limits a relay enforces (NIP-11, limitation); null members are left out.</summary>
public sealed record RelayLimitation
{
    /// <summary>Longest frame in bytes.</summary>
    public int? MaxMessageLength { get; init; }

    /// <summary>Most subscriptions of one connection.</summary>
    public int? MaxSubscriptions { get; init; }

    /// <summary>Most filters of one REQ.</summary>
    public int? MaxFilters { get; init; }

    /// <summary>A larger <c>limit</c> is lowered to this.</summary>
    public int? MaxLimit { get; init; }

    /// <summary>Longest subscription id in characters.</summary>
    public int? MaxSubscriptionIdLength { get; init; }

    /// <summary>Most tags of one event.</summary>
    public int? MaxEventTags { get; init; }

    /// <summary>Longest content in characters.</summary>
    public int? MaxContentLength { get; init; }

    /// <summary>Bits of work wanted (NIP-13).</summary>
    public int? MinPowDifficulty { get; init; }

    /// <summary>True when nothing works before AUTH (NIP-42).</summary>
    public bool? AuthRequired { get; init; }

    /// <summary>True when reading or writing costs money.</summary>
    public bool? PaymentRequired { get; init; }

    /// <summary>True when not everybody may write every kind.</summary>
    public bool? RestrictedWrites { get; init; }

    /// <summary>Oldest <c>created_at</c>, in seconds before now.</summary>
    public long? CreatedAtLowerLimit { get; init; }

    /// <summary>Newest <c>created_at</c>, in seconds after now.</summary>
    public long? CreatedAtUpperLimit { get; init; }

    /// <summary>How far from now, either way, a group event (kind 445) may be dated, seconds; 0 when only the limits of all kinds hold. Not in NIP-11:
    /// <c>marmot_group_event_clock_skew</c>.</summary>
    public long? GroupEventClockSkew { get; init; }

    /// <summary>Used when a filter has no <c>limit</c>.</summary>
    public int? DefaultLimit { get; init; }
}

/// <summary>One retention rule (NIP-11).</summary>
/// <param name="FirstKind">First kind of the range.</param>
/// <param name="LastKind">Last kind, itself included.</param>
/// <param name="Seconds">How long events stay; null for ever, 0 not stored.</param>
/// <param name="Count">How many stay; null for no bound.</param>
public readonly record struct RelayRetention(int FirstKind, int LastKind, long? Seconds = null, long? Count = null);
