namespace Marmot.ProviderSimulators.Http2;

/// <summary>The 61 fields both sides know. RFC 7541, Appendix A. Indexes start at 1.</summary>
internal static class HpackStaticTable
{
    private static readonly KeyValuePair<string, string>[] Fields = Parse(
        ":authority;:method=GET;:method=POST;:path=/;:path=/index.html;:scheme=http;:scheme=https;:status=200;:status=204;" +
        ":status=206;:status=304;:status=400;:status=404;:status=500;accept-charset;accept-encoding=gzip, deflate;" +
        "accept-language;accept-ranges;accept;access-control-allow-origin;age;allow;authorization;cache-control;" +
        "content-disposition;content-encoding;content-language;content-length;content-location;content-range;content-type;" +
        "cookie;date;etag;expect;expires;from;host;if-match;if-modified-since;if-none-match;if-range;if-unmodified-since;" +
        "last-modified;link;location;max-forwards;proxy-authenticate;proxy-authorization;range;referer;refresh;retry-after;" +
        "server;set-cookie;strict-transport-security;transfer-encoding;user-agent;vary;via;www-authenticate");

    public static int Count => Fields.Length;

    public static KeyValuePair<string, string> Get(int index) => Fields[index - 1];

    private static KeyValuePair<string, string>[] Parse(string table) =>
        [.. table.Split(';').Select(field => field.Split('=', 2)).Select(parts => KeyValuePair.Create(parts[0], parts.Length == 2 ? parts[1] : ""))];
}
