using Microsoft.AspNetCore.Http.Features;

namespace Marmot.Relay.Connections;

/// <summary>The opening handshake (RFC 6455, 4.2) on Kestrel's raw upgrade, for connections that <see cref="WebSocketShortcut"/> does not see in the
/// clear.</summary>
internal static class WebSocketHandshake
{
    public static bool IsRequested(HttpContext context) =>
        HttpMethods.IsGet(context.Request.Method)
        && context.Features.Get<IHttpUpgradeFeature>() is { IsUpgradableRequest: true }
        && context.Request.Headers.Upgrade.ToString().Equals("websocket", StringComparison.OrdinalIgnoreCase);

    /// <summary>Answers 101, with the extensions agreed on if any, and returns the raw stream; null, with a status set, when the request is not a valid
    /// handshake.</summary>
    public static async Task<Stream?> AcceptAsync(HttpContext context, string? extensions)
    {
        var key = context.Request.Headers.SecWebSocketKey.ToString();
        if (context.Request.Headers.SecWebSocketVersion != "13" || key.Length != 24)
        {
            context.Response.Headers.SecWebSocketVersion = "13";
            context.Response.StatusCode = StatusCodes.Status426UpgradeRequired;
            return null;
        }

        context.Response.Headers.Connection = "Upgrade";
        context.Response.Headers.Upgrade = "websocket";
        context.Response.Headers.SecWebSocketAccept = WebSocketRequest.Accept(key);
        if (extensions is not null)
        {
            context.Response.Headers.SecWebSocketExtensions = extensions;
        }

        return await context.Features.GetRequiredFeature<IHttpUpgradeFeature>().UpgradeAsync();
    }
}
