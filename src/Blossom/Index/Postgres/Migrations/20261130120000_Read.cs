using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;

namespace Marmot.Blossom.Index.Postgres.Migrations;

/// <summary>When a blob was last read, for <see cref="BlossomOptions.EndUnreadAfter"/>.</summary>
[DbContext(typeof(BlossomDbContext))]
[Migration("20261130120000_Read")]
internal sealed class Read : Migration
{
    protected override void Up(MigrationBuilder migrationBuilder) =>
        migrationBuilder.AddColumn<long>("read", "blossom_blobs", "bigint", nullable: false, defaultValue: 0L);

    protected override void Down(MigrationBuilder migrationBuilder) => migrationBuilder.DropColumn("read", "blossom_blobs");
}
