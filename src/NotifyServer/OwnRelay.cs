namespace Marmot.NotifyServer;

/// <summary>The relay in the same process, if there is one: reached by an inner URL, known to the world (and to its own NIP-42 check) by another.</summary>
internal sealed record OwnRelay(string? Url, string? PublicUrl)
{
    /// <summary>The name to announce and to authenticate with.</summary>
    public string PublicNameOf(string url) => url == Url && PublicUrl is not null ? PublicUrl : url;
}
